"""The proxies that most EST servers stand behind, before a sandbox: nginx, Apache and HAProxy, as Debian has them.

Owns their configuration, their certificate, and starting and ending them. Each proxy listens on several ports that the
kernel has chosen: one that only passes requests on, and one for each thing that proxies also do. Asserts nothing.
"""

import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from string import Template
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from interop_peers import WELL_KNOWN, Sandbox, ended, peer, pem, wait_until
from interop_pki import HOST, answers, certify, free_ports

HEADER: Final = "X-Client-Cert"
"""The header in which a client's certificate is handed on."""

PLAIN: Final = "plain"


class Asks(Enum):
    """Whether a proxy asks for a client certificate, in the words of nginx, Apache and HAProxy."""

    NOBODY = ("off", "none", "none")
    WHO_WILL = ("optional", "optional", "optional")
    EVERYBODY = ("on", "require", "required")


@dataclass(frozen=True, slots=True)
class Program:
    """A proxy: its program, the Debian package it comes with, how it is started, and its configuration.

    ``ports`` names its ports; ``$NAME`` in the configuration stands for their numbers.
    """

    name: str
    package: str
    words: tuple[str, ...]
    word: int  # of an `Asks`
    ports: tuple[str, ...]
    configuration: Template


_NGINX: Final = """\
daemon off;
master_process off;
pid $folder/nginx.pid;
error_log stderr error;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path $folder/body;
  proxy_temp_path $folder/proxy;
  fastcgi_temp_path $folder/fastcgi;
  uwsgi_temp_path $folder/uwsgi;
  scgi_temp_path $folder/scgi;
  ssl_certificate $folder/server.pem;
  ssl_certificate_key $folder/server.pem;
  ssl_client_certificate $folder/clients.pem;
  ssl_verify_client $asks;
  ssl_verify_depth 3;
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_session_tickets on;
  ssl_session_cache shared:sessions:1m;
  proxy_http_version 1.1;
  proxy_ssl_trusted_certificate $folder/sandbox.pem;
  proxy_ssl_verify on;
  proxy_ssl_verify_depth 3;
  proxy_ssl_name localhost;
  proxy_set_header Host $$http_host;
  proxy_set_header X-Client-Cert $$ssl_client_escaped_cert;
  limit_req_zone $$server_port zone=throttle:64k rate=1r/m;
  server { listen $host:$plain ssl http2; location / { proxy_pass https://$host:$sandbox; } }
  server { listen $host:$too_large ssl; client_max_body_size 64; location / { proxy_pass https://$host:$sandbox; } }
  server {
    listen $host:$throttled ssl;
    limit_req zone=throttle burst=1 nodelay;
    limit_req_status 429;
    location / { add_header Retry-After 7 always; proxy_pass https://$host:$sandbox; }
  }
  server { listen $host:$gone ssl; location / { proxy_pass https://$host:$closed; } }
  server {
    listen $host:$moved ssl;
    location /.well-known/ { return 308 /moved$$request_uri; }
    location /moved/ { proxy_pass https://$host:$sandbox/; }
  }
  server { listen $host:$once ssl; keepalive_requests 1; location / { proxy_pass https://$host:$sandbox; } }
  server { listen $host:$brief ssl; keepalive_timeout 1s; location / { proxy_pass https://$host:$sandbox; } }
}
"""

_APACHE: Final = """\
ServerRoot $folder
ServerName localhost
User www-data
Group www-data
PidFile $folder/apache.pid
DefaultRuntimeDir $folder
ErrorLog $folder/errors
LogLevel error
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so
LoadModule env_module /usr/lib/apache2/modules/mod_env.so
LoadModule filter_module /usr/lib/apache2/modules/mod_filter.so
LoadModule deflate_module /usr/lib/apache2/modules/mod_deflate.so
LoadModule headers_module /usr/lib/apache2/modules/mod_headers.so
LoadModule http2_module /usr/lib/apache2/modules/mod_http2.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
LoadModule socache_shmcb_module /usr/lib/apache2/modules/mod_socache_shmcb.so
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
ServerLimit 2
StartServers 1
ThreadsPerChild 64
ThreadLimit 64
MaxRequestWorkers 128
Protocols h2 http/1.1
SSLSessionCache shmcb:$folder/sessions(65536)
Listen $host:$plain
Listen $host:$zipped
Listen $host:$moved
Listen $host:$gone
SSLCertificateFile $folder/server.pem
SSLCACertificateFile $folder/clients.pem
SSLVerifyDepth 3
SSLOptions +ExportCertData +StdEnvVars
<VirtualHost $host:$plain $host:$zipped>
  SSLEngine on
  SSLVerifyClient $asks
  SSLProxyEngine on
  SSLProxyVerify require
  SSLProxyVerifyDepth 3
  SSLProxyCACertificateFile $folder/sandbox.pem
  RequestHeader set X-Client-Cert "%{SSL_CLIENT_CERT}s"
  <If "%{SERVER_PORT} == '$zipped'">
    SetEnv force-gzip 1
    SetOutputFilter DEFLATE
  </If>
  ProxyPass / https://localhost:$sandbox/
</VirtualHost>
<VirtualHost $host:$moved>
  SSLEngine on
  Redirect 308 / https://$host:$plain/
</VirtualHost>
<VirtualHost $host:$gone>
  SSLEngine on
  ProxyPass / http://$host:$closed/
</VirtualHost>
"""

_HAPROXY: Final = """\
global
  maxconn 1000
  tune.ssl.default-dh-param 2048
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend plain
  bind $host:$plain ssl crt $folder/server.pem ca-file $folder/clients.pem verify $asks alpn h2,http/1.1
  http-request set-header X-Client-Cert %[ssl_c_der,base64]
  default_backend sandbox
frontend throttled
  bind $host:$throttled ssl crt $folder/server.pem
  http-request deny deny_status 429 if METH_POST
  default_backend sandbox
frontend gone
  bind $host:$gone ssl crt $folder/server.pem
  default_backend gone
backend sandbox
  server one $host:$sandbox ssl verify required ca-file $folder/sandbox.pem verifyhost localhost sni str(localhost)
backend gone
  server one $host:$closed ssl verify none
"""

NGINX: Final = Program(
    "nginx",
    "nginx-light",
    ("-p", "$folder", "-c", "$folder/configuration"),
    0,
    (PLAIN, "too_large", "throttled", "gone", "moved", "once", "brief"),
    Template(_NGINX),
)
APACHE: Final = Program(
    "apache2",
    "apache2",
    ("-X", "-f", "$folder/configuration"),
    1,
    (PLAIN, "zipped", "moved", "gone"),
    Template(_APACHE),
)
HAPROXY: Final = Program(
    "haproxy",
    "haproxy",
    ("-db", "-f", "$folder/configuration"),
    2,
    (PLAIN, "throttled", "gone"),
    Template(_HAPROXY),
)


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that runs."""

    ports: Mapping[str, int]
    trust: Path
    maker: Path  # whose devices it takes, with its key: the manufacturer of the sandbox

    def url(self, port: str = PLAIN) -> str:
        """Return the URL of EST on one of its ports."""
        return f"https://{HOST}:{self.ports[port]}{WELL_KNOWN}"


@contextmanager
def proxying(program: Program, folder: Path, sandbox: Sandbox, asks: Asks) -> Iterator[Proxy]:
    """Run a proxy before a sandbox until the block ends; it takes the clients that the sandbox takes."""
    path = peer(program.name, f"Debian's {program.package}")
    root = certify("Proxy Root CA", None)
    own = certify("Proxy", root, authority=False)
    trust = folder / "trust.pem"
    trust.write_bytes(pem(root.certificate))
    (folder / "server.pem").write_bytes(pem(own.certificate) + own.key_pem)
    maker = sandbox.folder / "pki" / "default" / "manufacturer.pem"
    (manufacturer,) = x509.load_pem_x509_certificates(maker.read_bytes())
    (folder / "clients.pem").write_bytes(pem(manufacturer) + sandbox.trust.read_bytes())
    (folder / "sandbox.pem").write_bytes(sandbox.trust.read_bytes())
    closed, *others = free_ports(1 + len(program.ports))
    ports = dict(zip(program.ports, others, strict=True))
    facts: dict[str, object] = {
        "folder": folder,
        "host": HOST,
        "asks": asks.value[program.word],
        "sandbox": urlsplit(sandbox.url).port,
        "closed": closed,
        **ports,
    }
    (folder / "configuration").write_text(program.configuration.substitute(facts), encoding="utf-8")
    words = [path, *(Template(word).substitute(facts) for word in program.words)]
    errors, context = folder / "stderr", ssl.create_default_context(cafile=trust)
    with errors.open("wb") as stderr:
        process = subprocess.Popen(words, stdout=stderr, stderr=stderr, stdin=subprocess.DEVNULL)
    with ended(process):
        wait_until(lambda: answers(ports[PLAIN], context), process, errors)
        yield Proxy(ports, trust, maker)
