"""People, a light and a camera into a picture.

H, W height and width, P pixels of one layer, S times as fine a picture is drawn and averaged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from operators.puppets import body, hair
from operators.puppets.camera import PIVOT, Camera, Stand, rotation_of
from operators.puppets.curves import Curves, curves_of
from operators.puppets.expression import Actions, actions_of
from operators.puppets.features import paint_face
from operators.puppets.head_mesh import HeadSurface, grid_normals, head_vertices, skull_of
from operators.puppets.landmarks import landmarks_of
from operators.puppets.light import GAMMA, Light, lit, shadow_maps
from operators.puppets.parameters import Expression, Identity, Pose
from operators.puppets.raster import Mesh, Seen, SeenFrom, grid_triangles, rasterise
from operators.puppets.relief import relief_of
from operators.puppets.skin import hair_rgb, skin_rgb

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody in a scene. `place_mm`: where the middle of the eyes is when the head is held straight."""

    identity: Identity
    expression: Expression
    pose: Pose
    place_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)


class PosedPerson:
    """A person with everything that does not depend on the camera."""

    def __init__(self, person: Person):
        self.who: Identity = person.identity
        self.do: Actions = actions_of(person.expression)
        self.curves: Curves = curves_of(self.who, self.do)
        self.surface = HeadSurface(
            skull=skull_of(self.who, self.curves), relief=relief_of(self.who, self.do, self.curves)
        )
        place = np.array(person.place_mm, np.float32)
        self.head = Stand(rotation_33=rotation_of(person.pose), pivot_3=PIVOT, place_3=PIVOT + place)
        follow = Pose(yaw=0.35 * person.pose.yaw, roll=0.15 * person.pose.roll)
        self.torso = Stand(rotation_33=rotation_of(follow), pivot_3=PIVOT, place_3=PIVOT + place)

    def landmarks(self, camera: Camera) -> Floats:
        """(68, 2) pixels."""
        return landmarks_of(self.surface, self.curves, self.head, camera)


class _Canvas:
    """Linear colours and the depth in front of which a pixel still shows what comes."""

    def __init__(self, back_HWC: Floats, camera: Camera):
        self.height, self.width, _ = back_HWC.shape
        self.rgb_P3 = back_HWC.reshape(-1, 3).copy()
        self.depth_P = np.full(self.height * self.width, np.inf, np.float32)
        self.camera = camera

    def see(
        self,
        xyz_RS3: Floats,
        values_RSA: Floats,
        stand: Stand,
        *,
        closed: bool,
        seen_from: SeenFrom = "outside",
        there_RS: Floats | None = None,
    ) -> Seen:
        """What of a grid of vertices is nearer than all that was painted so far.

        Takes: `there_RS`, below 0 where the grid has nothing to show and must not hide what is behind.
        Gives: attributes x, y, z of the grid's own coordinates, the values, and the normal in the world.
        """
        rows, columns, _ = xyz_RS3.shape
        normals = grid_normals(xyz_RS3, closed=closed).reshape(-1, 3) @ stand.rotation_33.T
        xyz_N3 = xyz_RS3.reshape(-1, 3)
        attributes = np.concatenate([xyz_N3, values_RSA.reshape(len(xyz_N3), -1), normals], axis=1)
        mesh = Mesh(
            triangles_M3=grid_triangles(rows, columns, closed=closed),
            attributes_NA=attributes,
            seen_from=seen_from,
            there_N=None if there_RS is None else there_RS.ravel(),
        )
        xy_N2, depth_N = self.camera.project(stand.to_world(xyz_N3))
        seen = rasterise(mesh, xy_N2, depth_N, height=self.height, width=self.width)
        near = seen.depth_P < self.depth_P[seen.pixel_P]
        values_PA = seen.attributes_PA[near]
        normal_P3 = values_PA[:, -3:]
        normal_P3 /= np.maximum(np.linalg.norm(normal_P3, axis=1, keepdims=True), 1e-6)
        if seen_from != "outside":
            normal_P3 *= np.where(normal_P3[:, 2:] < 0, -1, 1)
        return Seen(pixel_P=seen.pixel_P[near], depth_P=seen.depth_P[near], attributes_PA=values_PA)

    def paint(self, seen: Seen, rgb_P3: Floats, cover_P: Floats | None = None) -> None:
        """Over what is there; only what hides it wholly counts as near."""
        if cover_P is None:
            self.rgb_P3[seen.pixel_P] = rgb_P3
            self.depth_P[seen.pixel_P] = seen.depth_P
        else:
            self.rgb_P3[seen.pixel_P] += cover_P[:, None] * (rgb_P3 - self.rgb_P3[seen.pixel_P])


def draw(
    people: Sequence[PosedPerson], light: Light, camera: Camera, back_HWC: Floats, *, supersample: int = 2
) -> NDArray[np.uint8]:
    """A picture of the background's size.

    Takes: people from the farthest to the nearest; `back_HWC` linear RGB. Gives: (H, W, 3) uint8 RGB.
    """
    fine = back_HWC.repeat(supersample, axis=0).repeat(supersample, axis=1)
    canvas = _Canvas(fine, camera.enlarged(supersample))
    for person in people:
        canvas.depth_P[:] = np.inf  # people do not reach through each other: the nearer one is simply later
        _paint_person(canvas, person, light)
    height, width, _ = back_HWC.shape
    shown = np.clip(canvas.rgb_P3, 0, 1).reshape(height, supersample, width, supersample, 3).mean(axis=(1, 3))
    return np.asarray(np.rint(255 * shown ** (1 / GAMMA)), np.uint8)


def _paint_person(canvas: _Canvas, person: PosedPerson, light: Light) -> None:
    _paint_torso(canvas, person, light)
    _paint_ears(canvas, person, light)
    _paint_head(canvas, person, light)
    if hair.has_hair(person.who):
        _paint_hair(canvas, person, light)
    if person.who.glasses >= 0.5:
        _paint_glasses(canvas, person, light)


def _paint_head(canvas: _Canvas, person: PosedPerson, light: Light) -> None:
    key, sky = shadow_maps(person.surface, light.towards_3 @ person.head.rotation_33)
    xyz_RS3 = head_vertices(person.surface)
    x, y = xyz_RS3[..., 0], xyz_RS3[..., 1]
    front = np.clip((xyz_RS3[..., 2] - 5) / 25, 0, 1)  # the maps know the front alone
    shown = [1 + front * (m.at(x, y) - 1) for m in (key, sky)]
    seen = canvas.see(xyz_RS3, np.stack(shown, axis=-1), person.head, closed=True)
    values = seen.attributes_PA
    pixel_mm = 1 / canvas.camera.px_per_mm
    albedo_P3 = np.broadcast_to(skin_rgb(person.who), (len(values), 3)).copy()
    gloss_P, glint_P = np.full(len(values), 0.1, np.float32), np.zeros(len(values), np.float32)
    facing = np.flatnonzero(values[:, 2] > 0)
    painted = paint_face(values[facing, 0], values[facing, 1], pixel_mm, person.who, person.do, person.curves)
    albedo_P3[facing], gloss_P[facing], glint_P[facing] = painted.albedo_P3, painted.gloss_P, painted.glint_P
    rgb = lit(albedo_P3, values[:, -3:], values[:, 3:5], light, gloss=gloss_P)
    canvas.paint(seen, rgb + glint_P[:, None] * light.key_rgb)


def _paint_ears(canvas: _Canvas, person: PosedPerson, light: Light) -> None:
    skin = skin_rgb(person.who) * np.array([1.0, 0.88, 0.86], np.float32)
    for side in (-1, 1):
        xyz_RS3 = body.ear_vertices(person.who, person.surface.skull, side)
        rows, columns = body.EAR_GRID
        v, u = np.meshgrid(np.linspace(-1, 1, rows), np.linspace(-1, 1, columns) * side, indexing="ij")
        inner = 1 - 0.6 * np.exp(-((u + 0.25) ** 2 + (v - 0.05) ** 2) / 0.16)
        seen = canvas.see(xyz_RS3, inner[..., None].astype(np.float32), person.head, closed=False, seen_from="both")
        values = seen.attributes_PA
        shown = np.stack([0.8 * values[:, 3], values[:, 3]], axis=1)
        canvas.paint(seen, lit(np.broadcast_to(skin, (len(values), 3)), values[:, -3:], shown, light, gloss=0.05))


def _paint_torso(canvas: _Canvas, person: PosedPerson, light: Light) -> None:
    xyz_RS3 = body.torso_vertices(person.who)
    seen = canvas.see(xyz_RS3, np.zeros((*xyz_RS3.shape[:2], 0), np.float32), person.torso, closed=True)
    x, y, z = seen.attributes_PA[:, :3].T
    cloth = body.neckline(np.arctan2(x, z + 16), y, person.who)[:, None]
    albedo = skin_rgb(person.who) * (1 - cloth) + body.cloth_rgb(person.who) * cloth
    albedo = albedo * (1 - 0.3 * cloth * (1 - np.clip((y[:, None] - 145) / 14, 0, 1)))
    under_chin = 1 - 0.72 * np.exp(-np.maximum(y - 112, 0) / 26) * np.clip((z + 40) / 60, 0, 1)
    shown = np.stack([under_chin, 0.35 + 0.65 * under_chin], axis=1)
    canvas.paint(seen, lit(albedo.astype(np.float32), seen.attributes_PA[:, -3:], shown, light, gloss=0.03))


def _paint_hair(canvas: _Canvas, person: PosedPerson, light: Light) -> None:
    xyz_RS3, inside_RS = hair.hair_vertices(person.who, person.surface.skull)
    there_RS = inside_RS - hair.RAGGED_MM
    gloss = 0.10 + 0.35 * float(hair_rgb(person.who).mean())
    # hair that hangs away from the head shows its inner side first, through the soft edge of the outer one
    sides: tuple[SeenFrom, ...] = ("inside", "outside") if person.who.hair_length >= hair.LONG else ("outside",)
    for side in sides:
        seen = canvas.see(xyz_RS3, inside_RS[..., None], person.head, closed=True, seen_from=side, there_RS=there_RS)
        x, y, z, inside = seen.attributes_PA[:, :4].T
        angle = np.arctan2(x, z)
        key = (0.75 + 0.25 * np.clip(-y / 60, 0, 1)) * (1.0 if side == "outside" else 0.4)
        shown = np.stack([key, np.full_like(y, 0.8 if side == "outside" else 0.5)], axis=1)
        rgb = lit(hair.hair_albedo(angle, y, inside, person.who), seen.attributes_PA[:, -3:], shown, light, gloss=gloss)
        canvas.paint(seen, rgb, hair.hair_cover(inside, angle, y, person.who))


def _paint_glasses(canvas: _Canvas, person: PosedPerson, light: Light) -> None:
    metal = np.array([0.03, 0.03, 0.035], np.float32) * (1 + 3 * (person.who.glasses_shape < -0.3))
    pixel_mm = 1 / canvas.camera.px_per_mm
    for side in (-1, 1):
        xyz = body.temple_vertices(person.surface.skull, side)
        seen = canvas.see(xyz, np.zeros((*xyz.shape[:2], 0), np.float32), person.head, closed=False, seen_from="both")
        canvas.paint(seen, np.broadcast_to(metal, (len(seen.pixel_P), 3)), np.ones(len(seen.pixel_P), np.float32))
    xyz = body.frame_vertices()
    seen = canvas.see(xyz, np.zeros((*xyz.shape[:2], 0), np.float32), person.head, closed=False, seen_from="both")
    x, y = seen.attributes_PA[:, 0], seen.attributes_PA[:, 1]
    rim, lens = body.frame_cover(x, y, pixel_mm, person.who)
    mirrored = 0.05 + 0.10 * np.clip(1 - np.abs(x + 0.8 * y - np.where(x < 0, -45, 25)) / 9, 0, 1)
    canvas.paint(seen, np.broadcast_to(light.key_rgb * 0.8, (len(x), 3)), (lens * mirrored).astype(np.float32))
    rgb = lit(
        np.broadcast_to(metal, (len(x), 3)),
        seen.attributes_PA[:, -3:],
        np.ones((len(x), 2), np.float32),
        light,
        gloss=0.25,
    )
    canvas.paint(seen, rgb, rim)
