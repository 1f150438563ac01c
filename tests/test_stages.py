"""What tells one result from another."""

from dataclasses import replace

from scenes import MakeScene, make_scene, quad

from escape_process.readers import open_scene
from escape_process.settings import Settings
from escape_process.stages import fingerprint

__all__ = ["make_scene"]


def test_files_of_another_host_never_count_as_those_of_the_first(make_scene: MakeScene) -> None:
    scene = open_scene(make_scene(quad((8, 8))), Settings())

    def lying_at(address: str) -> str:
        asset = {"href": address, "file:checksum": "1220" + "0" * 64, "file:size": 1}
        return fingerprint(replace(scene, item={"id": scene.id, "assets": {"HH": asset}}))

    own = lying_at("https://data.example/one/HH.tif?signature=1")

    assert lying_at("https://data.example/two/HH.tif?signature=2") == own
    assert lying_at("https://forged.example/one/HH.tif") != own
    assert lying_at("/a/folder/HH.tif") != own
