"""A picture of the top of a report: `python benchmarks/report_picture.py PAGE.html docs/pictures/report.png`.

Needs Chromium or Chrome: the program named by PARING_BROWSER, or the first one on PATH.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=1500)
    asked = parser.parse_args()
    names = [os.environ.get("PARING_BROWSER"), "chromium", "chromium-browser", "google-chrome", "chrome"]
    browser = next(filter(None, (shutil.which(name) for name in names if name)), None)
    if browser is None:
        parser.error("no browser: install Chromium, or name one in PARING_BROWSER")
    flags = "--headless --no-sandbox --disable-gpu --disable-background-networking --disable-component-update"
    flags += " --disable-sync --no-first-run --hide-scrollbars --blink-settings=preferredColorScheme=1"
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, *flags.split(), f"--user-data-dir={profile}", f"--window-size={asked.width},{asked.height}"]
        command += [f"--screenshot={asked.picture.resolve()}", asked.page.resolve().as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    print(f"{asked.picture}: {asked.picture.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
