"""`zhengming certificates`: an authority of one's own, for development and closed networks."""

import ipaddress
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.cli.target import show
from services.common.errors import out_of_range
from services.common.identity.certificates import AUTHORITY, CERTIFICATE, KEY
from services.common.identity.policy import SCOPES

SERVER = "zhengming"
"""Name of the services themselves among the clients."""
AUTHORITY_DAYS = 3650


def make_certificates(
    out: Annotated[Path, typer.Option(help="Folder for everything; an authority in it is kept.")],
    client: Annotated[
        list[str] | None, typer.Option(help="NAME=SCOPE[,SCOPE]: also a client, as app-lan=vendor.")
    ] = None,
    host: Annotated[
        list[str] | None, typer.Option(help="Another name or address of the server.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=825, help="How long they hold.")] = 90,
) -> None:
    """Make an authority, certificates of the server and of clients, and the file of clients."""
    clients = [_client(text) for text in client or []]
    authority, key = authority_in(out)
    hosts = ["localhost", "127.0.0.1", "::1", SERVER, *(host or [])]
    issue(out / "server", SERVER, hosts, authority, key, days)
    for name, _ in clients:
        issue(out / name, name, [name], authority, key, days)
    listed = [{"name": SERVER, "scopes": ["service"]}]
    listed += [{"name": name, "scopes": scopes} for name, scopes in clients]
    path = out / "clients.yaml"
    path.write_text(yaml.safe_dump({"clients": listed}, sort_keys=False, allow_unicode=True))
    show(
        {
            "ZHENGMING_CERTIFICATES": str(out / "server"),
            "ZHENGMING_CLIENTS": str(path),
            **{f"certificates of {name}": str(out / name) for name, _ in clients},
        }
    )


def _client(text: str) -> tuple[str, list[str]]:
    name, _, scopes = text.partition("=")
    asked = [scope for scope in scopes.split(",") if scope]
    plain = bool(name) and all(c.isalnum() or c in "._-" for c in name) and name[0].isalnum()
    if not plain or not asked or set(asked) - set(SCOPES) or name in ("server", SERVER):
        raise out_of_range("--client", repr(text[:64]), f"NAME=SCOPE of {', '.join(SCOPES)}")
    return name, asked


def authority_in(out: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """The authority in the folder, made if there is none."""
    path, key_path = out / AUTHORITY, out / "ca.key"
    if path.exists() and key_path.exists():
        found = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
        assert isinstance(found, ec.EllipticCurvePrivateKey)
        return x509.load_pem_x509_certificate(path.read_bytes()), found
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Zhengming development authority")])
    now = datetime.now(UTC)
    usage = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=True, crl_sign=True,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    out.mkdir(parents=True, exist_ok=True)
    _write_key(key_path, key)
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return certificate, key


def issue(
    folder: Path,
    name: str,
    hosts: Sequence[str],
    authority: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    days: int,
    now: datetime | None = None,
) -> None:
    """Write a new key and certificate, in force from now, and the authority's beside them."""
    own = ec.generate_private_key(ec.SECP256R1())
    now = now or datetime.now(UTC)
    usage = x509.ExtendedKeyUsage(
        [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    )
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(authority.subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=False)
        .add_extension(issuer, critical=False)
        .add_extension(
            x509.SubjectAlternativeName([_host(host) for host in dict.fromkeys(hosts)]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / CERTIFICATE, certificate.public_bytes(serialization.Encoding.PEM))
    _write_key(folder / KEY, own)
    _replace(folder / AUTHORITY, authority.public_bytes(serialization.Encoding.PEM))


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Readable by us alone."""
    content = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    _replace(path, content, 0o600)


def _replace(path: Path, content: bytes, mode: int = 0o644) -> None:
    part = path.with_name(path.name + ".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(content)
    part.replace(path)
