"""Which files are one product."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from escape_process.errors import InvalidInputError
from escape_process.readers import listing
from escape_process.readers.listing import folders_without_product, group_products, list_files
from escape_process.settings import Settings

SETTINGS = Settings()
JAXA = "ALOS2014555550-140829-HBQR2.1GUA"


def groups(*names: str) -> dict[str, set[str]]:
    products = group_products([f"/held/{name}" for name in names])
    return {product.name: {href.removeprefix("/held/") for href in product.hrefs} for product in products}


def test_folders_are_products() -> None:
    assert groups("a/HH.tif", "a/VV.tif", "b/HH.tif", "c/notes.txt", "d/x.tif") == {
        "a": {"a/HH.tif", "a/VV.tif"},
        "b": {"b/HH.tif"},
    }


def test_products_of_one_id_lie_among_others() -> None:
    other = JAXA.replace("5550", "5560")
    names = [f"IMG-{name}-{stem}.tif" for stem in (JAXA, other) for name in ("HH", "VV")]
    found = groups(*names, f"{JAXA.replace('-HBQ', '_HBQ')}.kml", "summary.txt", "local_incidence_angle.tif")
    shared = {"summary.txt", "local_incidence_angle.tif"}
    assert found == {
        JAXA.replace("-HBQ", "_HBQ"): {*names[:2], f"{JAXA.replace('-HBQ', '_HBQ')}.kml", *shared},
        other.replace("-HBQ", "_HBQ"): {*names[2:], *shared},
    }


def test_geotiffs_with_their_leader_are_geotiffs() -> None:
    names = [f"IMG-{name}-{JAXA}.tif" for name in ("HH", "HV", "VV")] + [f"LED-{JAXA}"]
    (product,) = group_products([f"/held/{name}" for name in names])
    assert product.family is None
    assert len(product.hrefs) == 4


def test_scenes_of_one_folder() -> None:
    assert groups("a_HH.tif", "a_VV.tif", "b_HH.tif", "b_VV.tif", "b_mask.tif", "LIN.tif", "c.txt") == {
        "a": {"a_HH.tif", "a_VV.tif", "LIN.tif", "c.txt"},
        "b": {"b_HH.tif", "b_VV.tif", "b_mask.tif", "LIN.tif", "c.txt"},
    }
    assert list(groups("HH.tif", "x_HV.tif", "VV_filtered.tif")) == ["held"]


NAMES = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["HH", "HV", "VH", "VV"]), st.sampled_from("xyz")), unique=True
)


@given(NAMES, st.randoms(use_true_random=False))
def test_every_band_is_in_one_product_whatever_the_order(names: list[tuple[str, str, str]], random: object) -> None:
    files = [f"/held/{folder}/{scene}_{name}.tif" for folder, name, scene in names]
    products = group_products(sorted(files))
    held = [href for product in products for href in product.hrefs]
    assert sorted(held) == sorted(files)
    for product in products:
        kinds = [href[-6:-4] for href in product.hrefs]
        assert len(set(kinds)) == len(kinds), "no polarization twice"
    random.shuffle(files)  # type: ignore[attr-defined]
    assert {frozenset(product.hrefs) for product in group_products(files)} == {
        frozenset(product.hrefs) for product in products
    }


@given(st.lists(st.text(max_size=30), max_size=8))
def test_any_names_are_grouped(names: list[str]) -> None:
    files = [f"/held/{name}" for name in names]
    for product in group_products(files):
        assert product.name
        assert set(product.hrefs) <= set(files)


def test_only_own_subfolders_are_missed() -> None:
    files = ["/held/a/HH.tif", "/held/a/preview/x.tif", "/held/b/x.tif", "/held/c/x.txt", "/held/x.tif"]
    assert folders_without_product("/held", files, group_products(files)) == ["b"]


def test_listing_of_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b/HH.tif", "a.tif", ".hidden/HH.tif", "b/.HH.tif.swp", "mine/unpacked/x/HH.tif", "mine/x.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = list_files(str(tmp_path), SETTINGS, skip=tmp_path / "mine" / "unpacked")
    assert [Path(href).relative_to(tmp_path).as_posix() for href in found] == ["a.tif", "b/HH.tif", "mine/x.json"]
    assert list_files(str(tmp_path / "a.tif"), SETTINGS) == [str(tmp_path / "a.tif")]
    monkeypatch.setattr(listing, "MOST_FILES", 2)
    with pytest.raises(InvalidInputError, match="more than 2 files"):
        list_files(str(tmp_path), SETTINGS)


def test_listing_of_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = ["s3://bucket/scene/HH.tif", "s3://bucket/scene/VV.tif"]

    def list_hrefs(prefix: str, settings: Settings) -> list[str]:
        return [href for href in stored if href.startswith(prefix)]

    monkeypatch.setattr(listing, "list_hrefs", list_hrefs)
    for place in ("s3://bucket/scene/", "s3://bucket/scene", "s3://bucket"):
        assert list_files(place, SETTINGS) == stored
    assert list_files(stored[0], SETTINGS) == stored[:1]
    assert list_files("https://example.com/HH.tif", SETTINGS) == ["https://example.com/HH.tif"]
    assert [product.name for product in group_products(stored)] == ["scene"]
    with pytest.raises(InvalidInputError, match="cannot be listed"):
        list_files("https://example.com/scenes/", SETTINGS)


def test_lone_files_are_products_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "family_of", lambda names: (True, "covariance"))
    names = ["a.h5", "b.h5", "c_C3.tif", "d.dim", "d.data/C11.img", "d.data/C11.hdr"]
    assert groups(*names) == {"a": {"a.h5"}, "b": {"b.h5"}, "c_C3": {"c_C3.tif"}, "d": set(names[3:])}
