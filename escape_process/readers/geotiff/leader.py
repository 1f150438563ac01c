"""The CEOS leader that JAXA puts beside its GeoTIFFs: frequency, calibration and angles that nothing else tells."""

import re
from collections.abc import Mapping

from escape_process.errors import EscapeError
from escape_process.physics.radiometry import SPEED_OF_LIGHT
from escape_process.readers.ceos.leader import read_leader
from escape_process.readers.geotiff.hints import Hints
from escape_process.settings import Settings

_LEADER = re.compile(r"LED-ALOS2\d{9}-\d{6}", re.IGNORECASE)
_POLARIZATIONS = ("HH", "HV", "VH", "VV")


def hints_of_leader(beside: Mapping[str, str], settings: Settings) -> Hints:
    """Return what the leader beside a product's rasters tells; a warning where it cannot be read."""
    href = next((href for name, href in sorted(beside.items()) if _LEADER.match(name)), None)
    if href is None:
        return Hints()
    try:
        leader = read_leader(href, settings)
    except EscapeError as error:
        return Hints(warnings=(f"The leader beside the rasters is not used: {error}",))
    if not any(leader.scene_id in name.upper() for name in beside):
        return Hints(
            warnings=(f"The leader beside the rasters is of another scene, {leader.scene_id}: it is not used.",)
        )
    floor = leader.noise_floor_db
    properties = {
        "platform": leader.platform,
        "sar:frequency_band": "L",
        "sar:center_frequency": round(SPEED_OF_LIGHT / leader.wavelength / 1e9, 6),
        "view:off_nadir": leader.off_nadir_deg,
        "view:incidence_angle": leader.incidence_deg,
    }
    return Hints(
        calibration_factor_db=leader.calibration_factor_db,
        noise_floor_db={} if floor is None else dict.fromkeys(_POLARIZATIONS, floor),
        properties={key: value for key, value in properties.items() if value is not None},
    )
