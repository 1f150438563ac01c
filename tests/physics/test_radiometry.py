"""Conversions between conventions and units."""

import numpy as np
import pytest

from escape_process.physics import radiometry


def test_digital_numbers_of_alos2():
    # JAXA's formula by hand: 20 log10(5000) - 83 = -9.0206 dB.
    assert radiometry.db_from_linear(radiometry.power_from_dn(5000)) == pytest.approx(-9.0206, abs=1e-4)
    assert radiometry.CALIBRATION_FACTOR_DB == -83.0


def test_digital_numbers_do_not_overflow():
    dn = np.array([0, 1, 65535], dtype=np.uint16)
    power = radiometry.power_from_dn(dn)
    assert power[0] == 0
    assert radiometry.dn_from_power(power) == pytest.approx(dn)


def test_decibels():
    assert radiometry.db_from_linear([1.0, 0.01]) == pytest.approx([0.0, -20.0])
    assert np.isnan(radiometry.db_from_linear([0.0, -1.0])).all()
    assert radiometry.db_from_linear(np.ones(2, np.float32)).dtype == np.float32
    assert radiometry.linear_from_db(radiometry.db_from_linear([0.3, 7.0])) == pytest.approx([0.3, 7.0])


def test_conventions():
    theta = np.radians(30.0)
    assert radiometry.sigma0_from_gamma0(1.0, theta) == pytest.approx(np.sqrt(3) / 2)
    assert radiometry.sigma0_from_beta0(1.0, theta) == pytest.approx(0.5)
    assert radiometry.gamma0_from_sigma0(radiometry.sigma0_from_gamma0(0.2, theta), theta) == pytest.approx(0.2)
    assert radiometry.beta0_from_sigma0(radiometry.sigma0_from_beta0(0.2, theta), theta) == pytest.approx(0.2)


def test_slopes_share_one_beta0():
    local, ellipsoid, sigma0 = np.radians(20.0), np.radians(35.0), 0.1
    beta0 = radiometry.beta0_from_sigma0(sigma0, ellipsoid)
    found = radiometry.local_from_ellipsoid_sigma0(sigma0, local, ellipsoid)
    assert found == pytest.approx(radiometry.sigma0_from_beta0(beta0, local))


def test_wavenumber():
    assert radiometry.wavenumber(1.27e9) == pytest.approx(26.617, abs=1e-3)
    assert radiometry.rms_height_from_ks(radiometry.ks_from_rms_height(0.01, 1.2e9), 1.2e9) == pytest.approx(0.01)
