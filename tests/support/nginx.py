"""A private nginx: what a site needs round it."""

import os
import shutil
from pathlib import Path

_MAIN = """
daemon off;
pid {home}/nginx.pid;
error_log stderr;
{user}
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    uwsgi_temp_path {home}/uwsgi;
    fastcgi_temp_path {home}/fastcgi;
    scgi_temp_path {home}/scgi;
    include {site};
}}
"""
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"  # an ordinary user's shell does not look there


def nginx_command(home: Path, site: Path) -> list[str]:
    """Return the command that runs nginx with the *site*, with all its files in *home*."""
    main = home / "main.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    main.write_text(_MAIN.format(home=home, user=user, site=site))
    return [shutil.which("nginx", path=_PATH) or "nginx", "-e", "stderr", "-c", str(main)]
