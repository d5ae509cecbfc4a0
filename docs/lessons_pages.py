"""The site's lessons, made when the site is: a hook of mkdocs.yml. They stand in lessons/, an index before them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tinycnn import lessons

TIMES = Path(__file__).parent.parent / "benchmarks" / "results" / "nvidia-h200"


def on_post_build(config: Any) -> None:
    for _ in lessons.write_all(Path(config.site_dir) / "lessons", lessons.Subject(times=TIMES), teacher=True):
        pass
