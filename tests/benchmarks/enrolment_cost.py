"""CPU per enrolment of the fleet, as a ratio to a bare loop in the same minutes on the same machine.

The bare loop is what nobody can do without: trio, pyOpenSSL on memory buffers, a key and a CSR, a handshake, a POST
written by hand, the certificate parsed. No fleet, no httpx, no checks, no records. Both enroll the same number of
fresh P-256 devices at the same rate against one sandbox process. Run it on a quiet machine:

    .venv/bin/python tests/benchmarks/enrolment_cost.py [--devices 2000] [--rate 150] [--rounds 3]
"""

import argparse
import base64
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7
from OpenSSL import SSL, crypto

from estsim.net.openssl import set_curves
from estsim.scenario.target_url import TargetUrl, parse_url

TARGET_RATIO = 1.5
_FLEET = """\
version: 1
name: cost
duration: 10m
until: settled
target: {{url: "{url}", trust: {{ca: "{trust}"}}}}
authorities: {{factory: {{cert: "{factory}", key: "{factory}"}}}}
generator: {{max_cpu: 100%}}
cohorts:
  meters:
    devices: {devices}
    subject: "CN=meter-{{index:6}}"
    key: ec-p256
    bootstrap: {{kind: manufacturer, authority: factory}}
    boot: {{rate: {rate}/s, shape: even}}
    enroll: {{cacerts: never}}
    renew: off
"""


def main() -> None:
    """Measure both in turn and print the ratio of their medians."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--devices", type=int, default=2000)
    options.add_argument("--rate", type=int, default=150)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--bare", metavar="SANDBOX_JSON", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.bare:
        sandbox = json.loads(Path(given.bare).read_text())
        print(trio.run(bare, sandbox, given.devices, given.rate))
        return
    with tempfile.TemporaryDirectory() as folder:
        compare(Path(folder), given.devices, given.rate, given.rounds)


def compare(folder: Path, devices: int, rate: int, rounds: int) -> None:
    """Start a sandbox, run both ``rounds`` times in turn, print every figure."""
    served = folder / "sandbox"
    command = [sys.executable, "-m", "estsim", "serve", "--port", "0", "--dir", str(served), "--with-parent"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        announced = served / "sandbox.json"
        while not announced.exists():
            time.sleep(0.05)
        sandbox = json.loads(announced.read_text())
        bares, fleets = [], []
        for number in range(1, rounds + 1):
            bares.append(bare_in_a_process(announced, devices, rate))
            fleets.append(fleet_in_a_process(folder, sandbox, devices, rate))
            print(f"round {number}: bare {bares[-1]:.3f} ms, fleet {fleets[-1]:.3f} ms CPU per enrolment", flush=True)
        process.communicate()
    bare_ms, fleet_ms = statistics.median(bares), statistics.median(fleets)
    print(f"bare {bare_ms:.3f} ms, fleet {fleet_ms:.3f} ms: ratio {fleet_ms / bare_ms:.2f} (aim ≤ {TARGET_RATIO})")


def bare_in_a_process(announced: Path, devices: int, rate: int) -> float:
    """Return the bare loop's CPU in ms per enrolment."""
    command = [sys.executable, __file__, "--bare", str(announced), "--devices", str(devices), "--rate", str(rate)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def fleet_in_a_process(folder: Path, sandbox: dict[str, str], devices: int, rate: int) -> float:
    """Return the fleet's CPU in ms per enrolment, as its own summary gives it."""
    scenario = folder / "cost.yaml"
    factory, trust = sandbox["manufacturer"], sandbox["trust"]
    scenario.write_text(_FLEET.format(url=sandbox["url"], trust=trust, factory=factory, devices=devices, rate=rate))
    command = [sys.executable, "-m", "estsim", "run", str(scenario), "--results", str(folder / "results"), "--json"]
    summary = json.loads(subprocess.run(command, check=False, capture_output=True, text=True).stdout)
    if summary["certificates"]["issued"] != devices:
        raise SystemExit(f"the fleet got {summary['certificates']['issued']} certificates for {devices} devices")
    return float(summary["generator"]["cpu_per_enrolment_ms"])


# -- the bare loop


async def bare(sandbox: dict[str, str], devices: int, rate: int) -> float:
    """Enroll ``devices`` times at ``rate`` per second; returns CPU ms per enrolment."""
    url = parse_url(sandbox["url"])
    factory = Path(sandbox["manufacturer"]).read_bytes()
    issuer = x509.load_pem_x509_certificate(factory)
    issuer_key = serialization.load_pem_private_key(factory, None)
    context = bare_context(Path(sandbox["trust"]))
    born = [credential(issuer, issuer_key, number) for number in range(devices)]
    started = time.process_time()
    first = trio.current_time()
    async with trio.open_nursery() as nursery:
        for number, (certificate, key) in enumerate(born):
            await trio.sleep_until(first + number / rate)
            nursery.start_soon(enroll, context, url, certificate, key)
    return (time.process_time() - started) * 1000 / devices


def bare_context(trust: Path) -> SSL.Context:
    """Return the context that all bare connections share."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    set_curves(context, "X25519:P-256:P-384")
    store = context.get_cert_store()
    assert store is not None
    for certificate in x509.load_pem_x509_certificates(trust.read_bytes()):
        store.add_cert(crypto.X509.from_cryptography(certificate))
    context.set_verify(SSL.VERIFY_PEER)
    return context


def credential(
    issuer: x509.Certificate, issuer_key: object, number: int
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Return a bootstrap certificate and its key."""
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name.from_rfc4514_string(f"CN=bare-{number}")
    builder = x509.CertificateBuilder(issuer.subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(issuer.not_valid_before_utc).not_valid_after(issuer.not_valid_after_utc)
    return builder.sign(issuer_key, hashes.SHA256()), key


async def enroll(
    context: SSL.Context,
    url: TargetUrl,
    certificate: x509.Certificate,
    bootstrap_key: ec.EllipticCurvePrivateKey,
    *,
    accepts: tuple[bytes, ...] = (b"200",),
) -> None:
    """Enroll once."""
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder(certificate.subject).sign(key, hashes.SHA256())
    body = base64.encodebytes(csr.public_bytes(serialization.Encoding.DER))
    request = (
        f"POST {url.base}/simpleenroll HTTP/1.1\r\nHost: {url.host}\r\nContent-Type: application/pkcs10\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    stream = await trio.open_tcp_stream(url.host, url.port)
    tls = SSL.Connection(context, None)
    tls.use_certificate(certificate)
    tls.use_privatekey(bootstrap_key)
    tls.set_connect_state()
    async with stream:
        while True:
            try:
                tls.do_handshake()
                break
            except SSL.WantReadError:
                await flush(tls, stream)
                tls.bio_write(await stream.receive_some(16384))
        tls.send(request)
        await flush(tls, stream)
        answer = b""
        while not complete(answer):
            try:
                answer += tls.recv(16384)
            except SSL.WantReadError:
                tls.bio_write(await stream.receive_some(16384))
    head, _, issued = answer.partition(b"\r\n\r\n")
    assert head.split()[1] in accepts, head
    assert head.split()[1] != b"200" or len(pkcs7.load_der_pkcs7_certificates(base64.b64decode(issued))) == 1


async def flush(tls: SSL.Connection, stream: trio.SocketStream) -> None:
    """Send what TLS has to say."""
    try:
        while True:
            await stream.send_all(tls.bio_read(16384))
    except SSL.WantReadError:
        return


def complete(answer: bytes) -> bool:
    """Tell whether a whole answer is there."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    return len(body) >= int(lengths[0])


if __name__ == "__main__":
    main()
