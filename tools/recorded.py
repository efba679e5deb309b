"""`eventsim run --record`: the spikes and what neurons held of one recording, as HDF5.

A group a layer: `spikes`, (spikes, 4), columns timestep, channel, y, x; `membranes` and, where the
neurons have them, `currents` or `adaptations`, (timesteps, *layer shape). Called by `run.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eventsim import Network, Result


def recording_options(network: Network, path: Path, count: int, mode: str, device: str) -> Any:
    """Return what `simulate` needs to record all; raises `EventsimError` where it cannot."""
    from eventsim.clocked.probes import quantities_of
    from eventsim.errors import EventsimError

    if count != 1:
        raise EventsimError(f"--record is {path} with {count} recordings, expected one")
    if (mode, device) != ("clocked", "cpu"):
        raise EventsimError(
            f"--record is {path} with --mode {mode} and --device {device}, expected clocked and cpu"
        )
    return {"record_spikes": True, "probe": quantities_of(network)}


def write_recorded(network: Network, result: Result, name: str, path: Path) -> None:
    """Write a result's spikes and probes; `name` of the recording and `dt_us` are attributes."""
    import h5py

    from eventsim.files import replacing

    assert result.spikes is not None
    assert result.probes is not None
    # Made in memory, so that HDF5 never meets a full disk.
    with h5py.File("image", "w", driver="core", backing_store=False) as file:
        file.attrs.update({"recording": name, "dt_us": result.dt_us, "steps": result.steps})
        for index, spikes in zip(network.neuron_layers, result.spikes, strict=True):
            layer = network.layer_name(index)
            group = file.create_group(layer)
            for quantity, values in {"spikes": spikes, **result.probes[layer]}.items():
                group.create_dataset(quantity, data=values, compression="gzip")
        file.flush()
        image = file.id.get_file_image()
    with replacing(path) as opened:
        opened.write(image)
