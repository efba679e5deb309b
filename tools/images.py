"""Images as input of lava-dl's networks, whose input neurons get them as bias currents.

In: a .npy file with numbers of 0 to 1, and a network of `eventsim_bridge.netx`. Out: its frames.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eventsim import BinnedEvents, Network


def takes_image(network: Network) -> bool:
    """Tell whether a network's input is an image, and not events."""
    return "image" in network.provenance


def image_frames(network: Network, path: Path, steps: int | None) -> BinnedEvents:
    """Return the frames of an image, the same in each timestep.

    The array has the network's input shape, or its channels as the last axis. Raises
    `EventsimError` for a file without such an array, and where nothing says how many timesteps.
    """
    import numpy as np

    import eventsim as es
    from eventsim_bridge.netx import image_levels

    steps = network.steps if steps is None else steps
    if steps is None:
        raise es.EventsimError("--steps is missing, expected for how many timesteps an image stays")
    try:
        image = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise es.EventsimError(
            f"{path}: cannot be read as .npy, {error}; expected an image, as the network's input is"
        ) from None
    channels, *size = network.input_shape
    if image.shape == (*size, channels) and image.shape != network.input_shape:
        image = np.moveaxis(image, -1, 0)
    try:
        levels = image_levels(network, image)
    except es.EventsimError as error:
        raise es.EventsimError(f"{path}: {error}") from None
    frames = np.broadcast_to(levels, (steps, *levels.shape))
    return es.from_frames(frames, network.dt_us, encoding=network.input_encoding)


def nothing(network: Network) -> BinnedEvents:
    """Return one empty frame."""
    import numpy as np

    import eventsim as es

    frames = np.zeros((1, *network.input_shape))
    return es.from_frames(frames, network.dt_us, encoding=network.input_encoding)
