"""The files of other people that the page serves: those that packages.txt names, with their licences, and no others."""

from pathlib import Path

STATIC = Path(__file__).parents[2] / "escape_process" / "viewer" / "static"
MOST_LINES = 400


def test_every_file_is_named_and_has_its_licence_beside_it() -> None:
    lines = (STATIC / "vendor" / "packages.txt").read_text().splitlines()
    named = set()
    for package, integrity, *files in (line.split() for line in lines if not line.startswith("#")):
        assert integrity.startswith("sha512-")
        assert any(Path(file).stem == "LICENSE" for file in files), package
        named |= {f"{package.rpartition('@')[0]}/{Path(file).name}" for file in files}
    folders = [path for path in (STATIC / "vendor").iterdir() if path.is_dir()]
    assert {f"{folder.name}/{path.name}" for folder in folders for path in folder.iterdir()} == named
    assert all((STATIC / "vendor" / name).stat().st_size > 500 for name in named)


def test_own_files_are_short_and_name_no_other_host() -> None:
    own = [path for path in STATIC.iterdir() if path.suffix in (".js", ".css", ".html")]
    assert len(own) > 5
    for path in own:
        text = path.read_text()
        assert len(text.splitlines()) < MOST_LINES, path.name
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", ""), path.name
        assert "https://" not in text.replace('placeholder="https://"', ""), path.name
