"""The colours of all pictures as style for the page, light and dark."""

from __future__ import annotations


def colours_css() -> str:
    """Return variables such as --on and --curve0."""
    from eventsim.colours import DARK, LIGHT, Colours

    def variables(colours: Colours) -> str:
        curves = {f"curve{number}": one for number, one in enumerate(colours.curves)}
        named = {**colours._asdict(), **curves}
        del named["curves"], named["paper"]  # the page's own ground has shades
        return "".join(f"--{name}: {colour}; " for name, colour in named.items())

    return (
        f":root {{ {variables(LIGHT)}}}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {variables(DARK)}}} }}\n"
    )
