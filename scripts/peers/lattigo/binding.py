"""The Go library's C interface as far as it is used. Objects are numbers that Go hands out; floats are 32 bits wide."""

from __future__ import annotations

import ctypes

import numpy as np

# log2 of the scale; residual chain, special primes and secret of the library's own set N16QP1546H192H32.
LOG_SCALE = 40
CHAIN = [60] + [LOG_SCALE] * 9
SPECIAL_PRIMES = [61] * 5
SECRET_WEIGHT = 192


class _Floats(ctypes.Structure):
    _fields_ = [("Data", ctypes.POINTER(ctypes.c_float)), ("Length", ctypes.c_ulong)]


class Lattigo:
    """One scheme with its keys. The Go side keeps it in globals: one per process."""

    def __init__(self, path: str, log_degree: int):
        self.go = go = ctypes.CDLL(path)
        go.Decode.restype = _Floats
        go.FreeCArray.argtypes = [ctypes.c_void_p]
        go.Encode.argtypes = [ctypes.POINTER(ctypes.c_float), ctypes.c_int, ctypes.c_int, ctypes.c_ulong]
        go.GetCiphertextLevel.argtypes = [ctypes.c_long]
        self.slots = 1 << (log_degree - 1)
        self.top = len(CHAIN) - 1
        chain, special = _integers(CHAIN), _integers(SPECIAL_PRIMES)
        sizes = (log_degree, chain, len(CHAIN), special, len(SPECIAL_PRIMES), LOG_SCALE, SECRET_WEIGHT)
        go.NewScheme(*sizes, b"standard", b"", b"none")
        for step in (
            "NewKeyGenerator",
            "GenerateSecretKey",
            "GeneratePublicKey",
            "GenerateRelinearizationKey",
            "GenerateEvaluationKeys",
            "NewEncoder",
            "NewEncryptor",
            "NewDecryptor",
            # With rotation keys for all powers of two.
            "NewEvaluator",
        ):
            getattr(go, step)()

    def encode(self, values: np.ndarray, level: int) -> int:
        values = np.ascontiguousarray(values, np.float32)
        pointer = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        return self.go.Encode(pointer, len(values), level, 1 << LOG_SCALE)

    def encrypt(self, values: np.ndarray, level: int) -> int:
        return self.go.Encrypt(self.encode(values, level))

    def decrypt(self, ciphertext: int) -> np.ndarray:
        plain = self.go.Decrypt(ciphertext)
        floats = self.go.Decode(plain)
        values = np.ctypeslib.as_array(floats.Data, (floats.Length,)).astype(np.float64).copy()
        self.go.FreeCArray(ctypes.cast(floats.Data, ctypes.c_void_p))
        self.go.DeletePlaintext(plain)
        return values

    def errors(self, ciphertext: int, expected: np.ndarray) -> np.ndarray:
        """What a ciphertext deviates from, magnified before it passes the interface's 32-bit floats."""
        magnification = 1 << 10
        plain = self.encode(expected, self.level(ciphertext))
        difference = self.go.SubPlaintextNew(ciphertext, plain)
        return self.decrypt(self.go.MulScalarIntNew(difference, magnification)) / magnification

    def level(self, ciphertext: int) -> int:
        return self.go.GetCiphertextLevel(ciphertext)

    def discard(self, ciphertext: int) -> None:
        """Go keeps every object until it is told otherwise."""
        self.go.DeleteCiphertext(ciphertext)

    def new_bootstrapper(self, slots: int) -> None:
        """Makes the keys and matrices of bootstrapping."""
        self.go.NewBootstrapper(_integers(SPECIAL_PRIMES), len(SPECIAL_PRIMES), slots)


def _integers(values: list[int]):
    return (ctypes.c_int * len(values))(*values)
