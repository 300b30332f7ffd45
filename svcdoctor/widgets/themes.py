"""Our own colours: each at least 4.5 to 1 on its background, a test holds it."""

from __future__ import annotations

from collections.abc import Mapping

from textual.theme import Theme

THEMES = (
    Theme(
        name="svcdoctor-dark",
        primary="#7aa2f7",
        secondary="#89b4c9",
        accent="#7dcfff",
        warning="#e0af68",
        error="#ff7a93",
        success="#8fd07f",
        foreground="#dfe3ea",
        background="#14171c",
        surface="#1d2129",
        panel="#232834",
        dark=True,
        variables={"block-cursor-background": "#2f5fb3", "block-cursor-foreground": "#ffffff"},
    ),
    Theme(
        name="svcdoctor-light",
        primary="#1f5fbf",
        secondary="#3d6b80",
        accent="#00617a",
        warning="#7a4f00",
        error="#b00020",
        success="#1b6e2d",
        foreground="#1c2024",
        background="#fbfbfa",
        surface="#eeeeec",
        panel="#e3e4e2",
        dark=False,
        variables={"block-cursor-background": "#1f5fbf", "block-cursor-foreground": "#ffffff"},
    ),
    # Blue is good and orange is not: told apart without red and green, and in lightness.
    Theme(
        name="svcdoctor-blue-orange",
        primary="#7aa2f7",
        secondary="#89b4c9",
        accent="#d0d0d0",
        warning="#f0e442",
        error="#ff9e4a",
        success="#5aa9e6",
        foreground="#dfe3ea",
        background="#14171c",
        surface="#1d2129",
        panel="#232834",
        dark=True,
        variables={"block-cursor-background": "#4a5568", "block-cursor-foreground": "#ffffff"},
    ),
)


def theme_for(environment: Mapping[str, str]) -> str:
    """Our own colours where the terminal can show them, its own sixteen (or none) where it cannot."""
    if environment.get("NO_COLOR"):
        return "ansi-dark"
    many = environment.get("COLORTERM", "") in ("truecolor", "24bit") or "256color" in environment.get("TERM", "")
    return "svcdoctor-dark" if many else "ansi-dark"
