"""The example for nginx with its limits for each address switched on."""

import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.support.needs import need
from tests.support.nginx import nginx_command
from tests.support.reader import ROOT
from tests.support.server_process import ServerProcess, free_ports
from tests.support.service import POSIX_TREE, serving
from tests.support.waiting import TIMEOUT


@pytest.mark.parametrize("site", ["nginx.conf", "nginx-uwsgi.conf"])
def test_nginx_refuses_more_requests_of_an_address(tmp_path: Path, site: str) -> None:
    need("nginx")
    shutil.copy("/etc/nginx/uwsgi_params", tmp_path)
    [port] = free_ports(1)
    with serving(POSIX_TREE.make(tmp_path / "archive")) as service:
        text = (ROOT / "deploy" / site).read_text().replace("# limit_", "limit_").replace("burst=200", "burst=5")
        text = text.replace("100r/s", "1r/m").replace("listen 80;", f"listen 127.0.0.1:{port};")
        (tmp_path / site).write_text(text.replace("127.0.0.1:8080", f"127.0.0.1:{service.port}"))
        nginx = ServerProcess(tmp_path / "nginx", port, nginx_command(tmp_path, tmp_path / site))
        nginx.start()
        try:
            with ThreadPoolExecutor(4) as pool:
                answers = list(pool.map(lambda _: requests.get(nginx.url, timeout=TIMEOUT), range(10)))
        finally:
            nginx.kill()
    assert Counter(answer.status_code for answer in answers)[429] == 4
