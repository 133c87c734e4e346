from __future__ import annotations

from pathlib import Path

import pytest

from microservo.errors import InvalidInput, Unavailable
from microservo.runtime.shutdown import Shutdown
from services.balancer.nginx_process import prepared_folder
from services.balancer.service import run
from services.balancer.settings import BalancerSettings


def test_only_this_machine_is_served_unless_told_otherwise() -> None:
    settings = BalancerSettings()
    assert settings.listen == "127.0.0.1:8080"
    assert settings.is_local
    assert settings.balancer_api_port == 1906


def test_an_api_for_others_needs_a_token() -> None:
    with pytest.raises(ValueError, match="set control_token"):
        BalancerSettings(balancer_api_host="10.0.0.1")
    assert not BalancerSettings(balancer_api_host="10.0.0.1", control_token="secret").is_local


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1; }", "*", "127.0.0.1:80"])
def test_what_gets_into_the_configuration_as_its_address_is_one(host: str) -> None:
    with pytest.raises(ValueError, match="balancer_host"):
        BalancerSettings(balancer_host=host)
    assert BalancerSettings(balancer_host="::1").listen == "[::1]:8080"


def test_trusted_proxies_are_networks() -> None:
    settings = BalancerSettings(balancer_trusted_proxies="10.0.0.0/8, ::1")
    assert settings.trusted_proxies == ("10.0.0.0/8", "::1/128")
    for wrong in ("10.0.0.1/8", "all", "10.0.0.0/8;"):
        with pytest.raises(ValueError, match="balancer_trusted_proxies"):
            BalancerSettings(balancer_trusted_proxies=wrong)


def test_without_nginx_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("microservo.adapters.nginx._SBIN", ())
    with pytest.raises(Unavailable, match="apt-get install nginx-light"):
        run(BalancerSettings(balancer_folder=tmp_path / "balancer"), Shutdown(signals=()))
    assert list(tmp_path.iterdir()) == [], "nothing was touched"


def test_a_folder_that_workers_can_not_enter_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    tmp_path.chmod(0o700)
    with pytest.raises(InvalidInput, match="chmod o\\+x"):
        prepared_folder(tmp_path / "balancer")
