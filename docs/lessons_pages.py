"""The site's lessons, made when the site is: a hook of mkdocs.yml. They stand in lessons/, an index before them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tinycnn import lessons

TIMES = Path(__file__).parent.parent / "benchmarks" / "results" / "nvidia-h200"


def on_post_build(config: Any) -> None:
    subject = lessons.Subject(times=Path(os.path.relpath(TIMES)))
    for _ in lessons.write_all(Path(config.site_dir) / "lessons", subject, teacher=True):
        pass
