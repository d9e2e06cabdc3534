"""The minimiser: it finds what it should, row by row, whoever else is in the batch, and survives bad ground."""

import pytest
import torch
from torch import Tensor

from operators.inversion.lbfgs import Lbfgs


def _with_slopes(function):
    def evaluate(x_BK: Tensor) -> tuple[Tensor, Tensor]:
        x_BK = x_BK.detach().requires_grad_(True)
        value_B = function(x_BK)
        (slope_BK,) = torch.autograd.grad(value_B.sum(), x_BK)
        return value_B.detach(), slope_BK

    return evaluate


def bowl(x_BK: Tensor) -> Tensor:
    """Curvatures from 1 to 1000, lowest at 1."""
    return (torch.logspace(0, 3, x_BK.shape[1]) * (x_BK - 1) ** 2).sum(dim=1)


def banana(x_BK: Tensor) -> Tensor:
    """Rosenbrock 1960: a bent valley, lowest at 1."""
    return (100 * (x_BK[:, 1:] - x_BK[:, :-1] ** 2) ** 2 + (1 - x_BK[:, :-1]) ** 2).sum(dim=1)


def cliff(x_BK: Tensor) -> Tensor:
    """Not a number beyond 2 in any coordinate; the first moves from 0 lead there."""
    return torch.where((x_BK > 2).any(dim=1), torch.nan, bowl(x_BK))


@pytest.mark.parametrize(
    ("function", "first_move", "evaluations", "within"),
    [
        pytest.param(bowl, 0.1, 80, 1e-3, id="bowl"),
        pytest.param(bowl, 100.0, 90, 1e-3, id="bowl_first_move_too_long"),
        pytest.param(banana, 0.1, 120, 1e-2, id="banana"),
        pytest.param(cliff, 50.0, 90, 1e-3, id="not_a_number_is_turned_away_from"),
    ],
)
def test_it_finds_the_lowest_place_and_never_rises(
    function, first_move: float, evaluations: int, within: float
) -> None:
    rows = Lbfgs(_with_slopes(function), torch.zeros(3, 6), first_move=first_move)
    values = []
    for _ in range(evaluations):
        rows.step()
        values.append(rows.value_B)
    assert bool((torch.stack(values).diff(dim=0) <= 0).all())
    torch.testing.assert_close(rows.x_BK, torch.ones(3, 6), rtol=0, atol=within)


def test_a_row_goes_its_way_whoever_else_is_there() -> None:
    starts = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))

    def found(x_BK: Tensor) -> Tensor:
        rows = Lbfgs(_with_slopes(banana), x_BK, first_move=0.1)
        for _ in range(25):
            rows.step()
        return rows.x_BK

    together = found(starts)
    for i in range(4):
        company = torch.randn(4, 6, generator=torch.Generator().manual_seed(i + 2))
        company[(i + 1) % 4] = starts[i]
        assert torch.equal(found(company)[(i + 1) % 4], together[i])


def test_a_restarted_row_begins_at_its_new_place_and_the_others_do_not_notice() -> None:
    evaluate = _with_slopes(bowl)
    disturbed, left_alone = (Lbfgs(evaluate, torch.zeros(2, 6), first_move=0.1) for _ in range(2))
    for step in range(40):
        if step == 20:
            disturbed.restart(torch.tensor([True, False]), torch.full((2, 6), 5.0))
            assert disturbed.x_BK[0].tolist() == [5.0] * 6
        disturbed.step()
        left_alone.step()
        if step == 20:
            assert float(disturbed.value_B[0]) == float(bowl(torch.full((1, 6), 5.0)))
    assert torch.equal(disturbed.x_BK[1], left_alone.x_BK[1])


def test_memory_of_a_like_problem_saves_evaluations() -> None:
    """The bowl is moved by a little, as the next frame moves a face."""

    def left(*, forget: bool) -> float:
        goal = torch.ones(1, 6)
        rows = Lbfgs(_with_slopes(lambda x: bowl(x - goal + 1)), torch.zeros(1, 6), first_move=0.1)
        for _ in range(60):
            rows.step()
        goal += 0.1
        rows.restart(torch.tensor([True]), rows.x_BK, forget=forget)
        for _ in range(8):
            rows.step()
        return float(rows.value_B[0])

    assert left(forget=False) < left(forget=True) / 10


def test_a_place_without_a_value_stays_where_it_was() -> None:
    rows = Lbfgs(_with_slopes(lambda x: (x * torch.nan).sum(dim=1)), torch.ones(1, 3), first_move=0.1)
    for _ in range(5):
        rows.step()
    assert rows.x_BK.tolist() == [[1.0, 1.0, 1.0]]
    assert rows.value_B.isinf().all()
