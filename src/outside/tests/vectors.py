"""Writes vectors.json: public keys, and tokens that another implementation (pyca/cryptography) signed with their private
halves, which are then forgotten. Run it again for other tokens: python3 vectors.py
"""

import base64
import json
import pathlib

from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

SECRET = "a secret for tests"
CLAIMS = {"sub": "42", "exp": 4000000000, "info": {"name": "Ann"}}
HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, length=None):
    return b64(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))


def pem(key):
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def pkcs1(key):
    form = serialization.PublicFormat.PKCS1
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def sign(key, algorithm, message):
    family, bits = algorithm[:2], algorithm[2:]
    if family == "HS":
        mac = hmac.HMAC(key, HASHES[bits])
        mac.update(message)
        return mac.finalize()
    if family == "RS":
        return key.sign(message, padding.PKCS1v15(), HASHES[bits])
    if family == "PS":
        return key.sign(message, padding.PSS(padding.MGF1(HASHES[bits]), HASHES[bits].digest_size), HASHES[bits])
    if family == "ES":
        r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(HASHES[bits])))
        length = (key.key_size + 7) // 8
        return r.to_bytes(length, "big") + s.to_bytes(length, "big")
    return key.sign(message)


def token(key, algorithm, kid=None, claims=CLAIMS):
    head = {"alg": algorithm, "typ": "JWT"} | ({"kid": kid} if kid else {})
    signed = ".".join(b64(json.dumps(part).encode()) for part in (head, claims))
    return signed + "." + b64(sign(key, algorithm, signed.encode()))


def main():
    rsa_key = rsa.generate_private_key(65537, 2048)
    p256, p384, p521 = (ec.generate_private_key(curve()) for curve in (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1))
    ed = ed25519.Ed25519PrivateKey.generate()
    rsa_pem = pem(rsa_key)
    signers = {"RS": rsa_key, "ES256": p256, "ES384": p384, "EdDSA": ed, "HS": SECRET.encode()}
    algorithms = ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "EdDSA"]
    signer = lambda name: signers.get(name) or signers[name[:2]]
    numbers = rsa_key.public_key().public_numbers()
    point = lambda key, length: {
        "kty": "EC", "crv": f"P-{length * 8}", "x": number(key.public_key().public_numbers().x, length),
        "y": number(key.public_key().public_numbers().y, length),
    }
    raw = ed.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    vectors = {
        "secret": SECRET,
        "pem": {
            "rsa": rsa_pem,
            "rsa_pkcs1": pkcs1(rsa_key),
            "rsa_short": pem(rsa.generate_private_key(65537, 1024)),
            "p256": pem(p256),
            "p384": pem(p384),
            "p521": pem(p521),
            "ed25519": pem(ed),
        },
        "tokens": {name: token(signer(name), name) for name in algorithms},
        "named": {name: token(signer(name), name, "key of " + name) for name in algorithms},
        "expired": {name: token(signer(name), name, None, CLAIMS | {"exp": 1}) for name in algorithms},
        # The public key as if it were a secret.
        "confused": {name: token(rsa_pem.encode(), name) for name in ("HS256", "HS384", "HS512")},
        "unsupported": {"PS256": token(rsa_key, "PS256"), "ES512": token(p521, "ES512")},
        "jwks": {
            "keys": [
                {"kty": "RSA", "use": "sig", "kid": f"key of {name}", "alg": name, "n": number(numbers.n), "e": "AQAB"}
                for name in ("RS256", "RS384", "RS512")
            ] + [
                point(p256, 32) | {"kid": "key of ES256"},
                point(p384, 48) | {"kid": "key of ES384", "alg": "ES384"},
                {"kty": "OKP", "crv": "Ed25519", "kid": "key of EdDSA", "x": b64(raw)},
            ],
        },
    }
    path = pathlib.Path(__file__).with_name("vectors.json")
    path.write_text(json.dumps(vectors, indent=1, ensure_ascii=False) + "\n")


main()
