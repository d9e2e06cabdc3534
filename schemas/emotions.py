"""The seven expressions and their ids. The ids are EmoPy's and are stored in every table."""

EMOTIONS: tuple[str, ...] = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
N_EMOTIONS = len(EMOTIONS)
