"""How commands read recordings: the options that all of them share, and what these do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import typer

from .help import Brief
from .options import Parting, whole_numbers
from .report import notes

if TYPE_CHECKING:
    from eventsim import Filters, Network, Packets, Recording, Sensor
    from eventsim.events.arrays import Events
    from eventsim_bridge.data.sets import DataSet


@dataclass(frozen=True)
class Reading:
    """How recordings are read; the fields are the options of the command line."""

    panel: ClassVar[str] = Brief("How recordings are read")

    sensor: Annotated[
        str | None,
        typer.Option(help="Size of the sensor, where the file does not state it.", metavar="WxH"),
    ] = None
    sort: Annotated[bool, typer.Option("--sort", help="Put backward time into order.")] = False
    time_unit: Annotated[
        Literal["s", "ms", "us", "ns"] | None,
        typer.Option(help="Of times whose unit the file does not state."),
    ] = None
    stream: Annotated[
        int | None, typer.Option(help="Of several event streams in a file, from 0.", min=0)
    ] = None
    on_bad: Annotated[
        Literal["refuse", "drop"],
        typer.Option(help="What cannot be used: refuse the file, or drop and count it."),
    ] = "refuse"
    region: Annotated[
        str | None, typer.Option(help="Region of interest, in pixels.", metavar="X,Y,W,H")
    ] = None
    downscale: Annotated[int, typer.Option(help="Divide x and y by this.", min=1)] = 1

    @property
    def size(self) -> Sensor | None:
        """The sensor that was asked for."""
        from eventsim import Sensor

        if self.sensor is None:
            return None
        return Sensor(*whole_numbers("--sensor", self.sensor, "x", 2))

    @property
    def crop(self) -> tuple[int, int, int, int] | None:
        """The region that was asked for."""
        if self.region is None:
            return None
        found: tuple[int, int, int, int] = whole_numbers("--region", self.region, ",", 4)
        return found

    def recording(self, path: Path) -> Recording:
        """Read a file whole."""
        import eventsim as es

        found = es.read_recording(path, sensor=self.size, sort=self.sort, **self._asked())
        say_dropped(path, found.dropped)
        return found

    def packets(self, path: Path) -> Packets:
        """Read a file in packets; with `--sort` whole, first."""
        import eventsim as es

        return es.read_packets(path, sensor=self.size, sort=self.sort, **self._asked())

    def _asked(self) -> dict[str, Any]:
        return {"time_unit": self.time_unit, "stream": self.stream, "on_bad": self.on_bad}

    def of_files(self) -> list[str]:
        """Name the options that are set and say something of files."""
        given = {
            "--sensor": self.sensor,
            "--sort": self.sort,
            "--time-unit": self.time_unit,
            "--stream": self.stream is not None,
            "--on-bad": self.on_bad == "drop",
        }
        return [option for option, value in given.items() if value]

    def data_set(
        self, name: str, root: Path | None, parting: Parting, *, download: bool = False
    ) -> DataSet:
        """Open a data set, where asked for after it was downloaded; its events are as recorded."""
        from eventsim import EventsimError
        from eventsim_bridge.data.download import download as fetch
        from eventsim_bridge.data.own import OwnData
        from eventsim_bridge.datasets import open_dataset

        set_options = {**vars(parting), **dict.fromkeys(self.of_files(), True)}
        if name != "folder":
            for option, value in set_options.items():
                if value is not None:
                    shown = option if option[0] == "-" else "--" + option.replace("_", "-")
                    raise EventsimError(
                        f"{shown} is set with --data {name}, expected none: it is of --data folder"
                    )
            try:
                return open_dataset(name, root)
            except EventsimError:
                if not download:
                    raise
            notes.print(f"Downloading {name} to {root}", highlight=False, soft_wrap=True)
            fetch(name, root)
            return open_dataset(name, root)
        if download:
            raise EventsimError("--download is set with --data folder, expected none: it is yours")
        reading = {"sort": self.sort, **self._asked()}
        if self.size is not None:
            reading["sensor"] = self.size
        return open_dataset(
            name, root, OwnData(parting.test_share, parting.group_by, reading=reading)
        )

    def resized(self, dataset: DataSet) -> DataSet:
        """Return a data set with the region and scale that were asked for."""
        import eventsim as es
        from eventsim_bridge.data.sets import resized

        if self.crop is None and self.downscale == 1:
            return dataset
        return resized(dataset, es.FilterSettings(region=self.crop, downscale=self.downscale))

    def told(self, packets: Packets) -> Iterator[Events]:
        """Yield packets, and say at their end what was dropped."""
        yield from packets
        say_dropped(packets.path, packets.dropped)

    def filters(self, sensor: Sensor | None) -> Filters | None:
        """Return what crops and scales events of this sensor; None where nothing was asked for."""
        import eventsim as es

        if self.crop is None and self.downscale == 1:
            return None
        settings = es.FilterSettings(region=self.crop, downscale=self.downscale)
        return es.Filters(settings, sensor or es.Sensor(65536, 65536))


def say_dropped(path: Path, dropped: Mapping[str, int]) -> None:
    """Say on stderr what was dropped, by kind."""
    if dropped:
        what = ", ".join(f"{count:,} {kind}" for kind, count in dropped.items())
        notes.print(f"{path}: dropped {what}", highlight=False, markup=False, soft_wrap=True)


class Fit:
    """Makes the events of a recording those that a network takes."""

    def __init__(self, reading: Reading, network: Network, stated: Sensor | None) -> None:
        """Refuse a stated sensor that is, cropped and scaled, larger than the network's input."""
        from eventsim import EventsimError
        from eventsim.events.arrays import camera_of

        self.input = camera_of(network.input_shape)
        height, width = self.input.height, self.input.width
        self.filters = reading.filters(stated)
        sensor = stated
        if self.filters is not None and (stated or reading.crop):
            sensor = self.filters.sensor
        if sensor is not None and (sensor.width > width or sensor.height > height):
            raise EventsimError(
                f"events come from {sensor.width} x {sensor.height} pixels, expected at most the "
                f"network's {width} x {height}: take a --region X,Y,W,H, or --downscale N"
            )

    def __call__(self, events: Events, first: int = 0) -> Events:
        """Return the events as the network takes them; `first` is the number of the first."""
        import eventsim as es

        if self.filters is not None:
            events, first = self.filters(events), 0
        return es.check_events(events, self.input, first=first)

    @property
    def outside(self) -> int:
        """Events outside of the region."""
        return 0 if self.filters is None else self.filters.counters["outside"]


def filtered(packets: Iterable[Events], filters: Filters | None) -> Iterator[Events]:
    """Yield packets cropped and scaled, and none without events."""
    for packet in packets:
        events = packet if filters is None else filters(packet)
        if len(events):
            yield events
