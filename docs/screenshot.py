"""Draw docs/dashboard.svg: the dashboard on the first moment of the demo, as `svcdoctor demo` shows it.

Usage: python docs/screenshot.py. The same recording gives the same picture.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from svcdoctor.app import Dashboard
from svcdoctor.demo import recorded_world
from svcdoctor.diagnosis import Scope
from svcdoctor.live import Replayed
from svcdoctor.widgets.entries import Key
from svcdoctor.widgets.source import Post, Source, SourceRequest

PICTURE = Path(__file__).parent / "dashboard.svg"
SIZE = (120, 36)
SELECTED = Key("service", "shop", "catalog")


async def picture() -> str:
    world = recorded_world()

    def open_source(request: SourceRequest, post: Post) -> Source:
        return Replayed([world], Scope(), post=post)

    dashboard = Dashboard(
        open_source,
        [world.context],
        context=world.context,
        namespace=None,
        theme="svcdoctor-dark",
        clock=lambda: world.now + timedelta(seconds=4),
        update_interval=0,
        detail_delay=0,
    )
    async with dashboard.run_test(size=SIZE) as pilot:
        while dashboard.update is None:
            await pilot.pause(0.05)
        rows = dashboard.outline.rows
        dashboard.outline.select(SELECTED)
        await pilot.pause()
        assert rows.selected == SELECTED
        await pilot.press("l")
        await pilot.pause(0.1)
        drawn = dashboard.export_screenshot(title="svcdoctor demo")
    # Some viewers drop the spaces at which a line begins, even those that may not be broken at.
    return drawn.replace("<svg ", '<svg xml:space="preserve" ', 1)


if __name__ == "__main__":
    PICTURE.write_text(asyncio.run(picture()), encoding="utf-8")
    print(PICTURE)
