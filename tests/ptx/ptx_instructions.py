"""What the instructions of PTX do, in LLVM IR: values, registers, arithmetic.

Taken from NVIDIA's manual of the PTX ISA. What is not known here is an error, not a guess.
"""

from __future__ import annotations

import re
import struct

# Words of eight bytes at the machine's beginning, which the code reads.
MACHINE = (
    "parameters", "shared", "visits", "%dynamic_smem_size", "%tid.x", "%ntid.x", "%ctaid.x",
    "%nctaid.x", "given", "from", "returned",
)  # fmt: skip
KINDS = {
    "pred": "i1", "b8": "i8", "u8": "i8", "s8": "i8", "b16": "i16", "u16": "i16", "s16": "i16",
    "b32": "i32", "u32": "i32", "s32": "i32", "b64": "i64", "u64": "i64", "s64": "i64",
    "f16": "half", "f32": "float", "f64": "double",
}  # fmt: skip
BITS = {"i1": 1, "i8": 8, "i16": 16, "i32": 32, "i64": 64, "half": 16, "float": 32, "double": 64}
PLAIN = {"add": "add", "sub": "sub", "and": "and", "or": "or", "xor": "xor"}
FLOATING = {"add": "fadd", "sub": "fsub"}


class Instructions:
    """Writes IR; an instruction is handed over as its parts, `cvt rn f32 s32`, and its operands."""

    def __init__(self, wide: dict[str, str]) -> None:
        """Take the types of the registers, by the letters of their names."""
        self._wide = wide
        self._slots: dict[str, int] = {}
        self._out: list[str] = []
        self._next = 0

    def _emit(self, text: str) -> str:
        """Append an instruction; return the name of its value."""
        self._next += 1
        self._out.append(f"%v{self._next} = {text}")
        return f"%v{self._next}"

    def _word(self, name: str) -> str:
        return self._emit(f"getelementptr i64, ptr %machine, i64 {MACHINE.index(name)}")

    def _machine(self, name: str, kind: str) -> str:
        return self._emit(f"load {kind}, ptr {self._word(name)}")

    def _width(self, register: str) -> str:
        """Return the type of a register, which must have been declared."""
        return self._wide[re.sub(r"(?<=[a-z])\d+$", "", register)]

    def _slot(self, register: str) -> str:
        self._width(register)
        number = self._slots.setdefault(register, len(self._slots))
        return self._emit(f"getelementptr i64, ptr %registers, i64 {number}")

    def _get(self, operand: str, kind: str) -> str:
        """Return an operand as a value of this type: the bits of a register, or a constant."""
        if operand in MACHINE:
            return self._machine(operand, kind)
        if operand.startswith("%"):
            if kind == "i1":
                return self._emit(f"trunc i8 {self._get(operand, 'i8')} to i1")
            return self._emit(f"load {kind}, ptr {self._slot(operand)}")
        if operand.startswith("0f"):
            (number,) = struct.unpack(">f", bytes.fromhex(operand[2:]))
            return f"0x{struct.pack('>d', number).hex()}"
        if operand.startswith("0d"):
            return f"0x{operand[2:]}"
        if kind == "i1":
            return "true" if int(operand) else "false"
        # The name of an array in shared memory, all of which begin at its beginning.
        return "0" if operand.startswith("_cudapy_smem") else str(int(operand, 0))

    def _set(self, register: str, kind: str, value: str, *, signed: bool = False) -> None:
        """Store a value in a register, widened to it."""
        wide = "i8" if kind == "i1" else self._width(register)
        if BITS[wide] > BITS[kind]:
            value = self._emit(f"{'sext' if signed else 'zext'} {kind} {value} to {wide}")
            kind = wide
        self._out.append(f"store {kind} {value}, ptr {self._slot(register)}")

    def _call(self, name: str, kind: str, *values: str) -> str:
        return self._emit(
            f"call {kind} @{name}({', '.join(f'{kind} {value}' for value in values)})"
        )

    # -- arithmetic --------------------------------------------------------------------------------

    def _binary(self, instruction: str, kind: str, operands: list[str]) -> None:
        first, second = (self._get(operand, kind) for operand in operands[1:])
        self._set(operands[0], kind, self._emit(f"{instruction} {kind} {first}, {second}"))

    def _do_add(self, parts: list[str], operands: list[str]) -> None:
        kind = KINDS[parts[-1]]
        names = FLOATING if parts[-1][0] == "f" else PLAIN
        self._binary(names[parts[0]], kind, operands)

    _do_sub = _do_and = _do_or = _do_xor = _do_add

    def _do_mul(self, parts: list[str], operands: list[str]) -> None:
        kind, signed = KINDS[parts[-1]], parts[-1][0] == "s"
        if parts[-1][0] == "f":
            self._binary("fmul", kind, operands)
        elif parts[1] == "lo":
            self._binary("mul", kind, operands)
        elif parts[1] == "wide":
            wide, widen = f"i{2 * BITS[kind]}", "sext" if signed else "zext"
            values = [
                self._emit(f"{widen} {kind} {self._get(operand, kind)} to {wide}")
                for operand in operands[1:]
            ]
            value = self._emit(f"mul {wide} {values[0]}, {values[1]}")
            self._set(operands[0], wide, value)
        else:
            raise NotImplementedError(".".join(parts))

    def _do_mad(self, parts: list[str], operands: list[str]) -> None:
        if parts[1] != "lo":
            raise NotImplementedError(".".join(parts))
        kind = KINDS[parts[-1]]
        first, second, third = (self._get(operand, kind) for operand in operands[1:])
        product = self._emit(f"mul {kind} {first}, {second}")
        self._set(operands[0], kind, self._emit(f"add {kind} {product}, {third}"))

    def _do_fma(self, parts: list[str], operands: list[str]) -> None:
        kind = KINDS[parts[-1]]
        values = [self._get(operand, kind) for operand in operands[1:]]
        self._set(operands[0], kind, self._call(f"llvm.fma.{parts[-1]}", kind, *values))

    def _do_div(self, parts: list[str], operands: list[str]) -> None:
        instruction = {"f": "fdiv", "u": "udiv", "s": "sdiv"}[parts[-1][0]]
        self._binary(instruction, KINDS[parts[-1]], operands)

    def _do_rem(self, parts: list[str], operands: list[str]) -> None:
        self._binary("urem" if parts[-1][0] == "u" else "srem", KINDS[parts[-1]], operands)

    def _do_rcp(self, parts: list[str], operands: list[str]) -> None:
        # The device's has 20 bits; what follows refines it, to the same result from more of them.
        value = self._get(operands[1], "double")
        self._set(operands[0], "double", self._emit(f"fdiv double 1.0, {value}"))

    def _shift(self, parts: list[str], operands: list[str]) -> None:
        """A shift by as much as the width or more leaves nothing, or the sign."""
        kind, signed = KINDS[parts[-1]], parts[-1][0] == "s"
        most = BITS[kind] - 1
        value, by = self._get(operands[1], kind), self._get(operands[2], "i32")
        beyond = self._emit(f"icmp ugt i32 {by}, {most}")
        by = self._emit(f"select i1 {beyond}, i32 {most}, i32 {by}")
        if kind != "i32":
            by = self._emit(f"{'zext' if kind == 'i64' else 'trunc'} i32 {by} to {kind}")
        name = "shl" if parts[0] == "shl" else "ashr" if signed else "lshr"
        shifted = self._emit(f"{name} {kind} {value}, {by}")
        if name != "ashr":
            shifted = self._emit(f"select i1 {beyond}, {kind} 0, {kind} {shifted}")
        self._set(operands[0], kind, shifted)

    _do_shl = _do_shr = _shift

    def _do_min(self, parts: list[str], operands: list[str]) -> None:
        kind, letter = KINDS[parts[-1]], parts[-1][0]
        name = f"{parts[0]}num.{parts[-1]}" if letter == "f" else f"{letter}{parts[0]}.{kind}"
        values = [self._get(operand, kind) for operand in operands[1:]]
        self._set(operands[0], kind, self._call("llvm." + name, kind, *values))

    _do_max = _do_min

    def _do_popc(self, parts: list[str], operands: list[str]) -> None:
        kind = KINDS[parts[-1]]
        value = self._call(f"llvm.ctpop.{kind}", kind, self._get(operands[1], kind))
        self._set(operands[0], "i32", value)

    def _do_not(self, parts: list[str], operands: list[str]) -> None:
        kind = KINDS[parts[-1]]
        self._set(operands[0], kind, self._emit(f"xor {kind} {self._get(operands[1], kind)}, -1"))

    def _do_neg(self, parts: list[str], operands: list[str]) -> None:
        kind, value = KINDS[parts[-1]], self._get(operands[1], KINDS[parts[-1]])
        text = f"fneg {kind} {value}" if parts[-1][0] == "f" else f"sub {kind} 0, {value}"
        self._set(operands[0], kind, self._emit(text))

    def _do_abs(self, parts: list[str], operands: list[str]) -> None:
        kind = KINDS[parts[-1]]
        value = self._get(operands[1], kind)
        if parts[-1][0] == "f":
            found = self._call(f"llvm.fabs.{parts[-1]}", kind, value)
        else:
            negative = self._emit(f"sub {kind} 0, {value}")
            found = self._call(f"llvm.smax.{kind}", kind, value, negative)
        self._set(operands[0], kind, found)

    def _do_brev(self, parts: list[str], operands: list[str]) -> None:
        value = self._call("llvm.bitreverse.i32", "i32", self._get(operands[1], "i32"))
        self._set(operands[0], "i32", value)

    def _do_bfind(self, parts: list[str], operands: list[str]) -> None:
        """How far the highest 1 is from the top; -1 where there is none."""
        if parts[1:] != ["shiftamt", "u32"]:
            raise NotImplementedError(".".join(parts))
        value = self._get(operands[1], "i32")
        zeros = self._emit(f"call i32 @llvm.ctlz.i32(i32 {value}, i1 0)")
        none = self._emit(f"icmp eq i32 {value}, 0")
        self._set(operands[0], "i32", self._emit(f"select i1 {none}, i32 -1, i32 {zeros}"))

    def _do_bfi(self, parts: list[str], operands: list[str]) -> None:
        kind = KINDS[parts[-1]]
        inserted, into = (self._get(operand, kind) for operand in operands[1:3])
        place, length = map(int, operands[3:])
        mask = (1 << length) - 1
        bits = self._emit(f"shl {kind} {self._emit(f'and {kind} {inserted}, {mask}')}, {place}")
        kept = self._emit(f"and {kind} {into}, {~(mask << place)}")
        self._set(operands[0], kind, self._emit(f"or {kind} {bits}, {kept}"))

    # -- comparisons, moves, conversions -----------------------------------------------------------

    def _do_setp(self, parts: list[str], operands: list[str]) -> None:
        how, letter = parts[1], parts[2][0]
        if letter == "f":
            how = "u" + how[:-1] if how.endswith("u") else "une" if how == "ne" else "o" + how
            self._binary_to_bit(f"fcmp {how}", KINDS[parts[2]], operands)
        else:
            prefix = "" if how in ("eq", "ne") else letter
            self._binary_to_bit(f"icmp {prefix}{how}", KINDS[parts[2]], operands)

    def _binary_to_bit(self, instruction: str, kind: str, operands: list[str]) -> None:
        first, second = (self._get(operand, kind) for operand in operands[1:])
        self._set(operands[0], "i1", self._emit(f"{instruction} {kind} {first}, {second}"))

    def _do_selp(self, parts: list[str], operands: list[str]) -> None:
        kind = KINDS[parts[-1]]
        first, second = (self._get(operand, kind) for operand in operands[1:3])
        chosen = self._get(operands[3], "i1")
        text = f"select i1 {chosen}, {kind} {first}, {kind} {second}"
        self._set(operands[0], kind, self._emit(text))

    def _do_mov(self, parts: list[str], operands: list[str]) -> None:
        kind = KINDS[parts[-1]]
        to, value = operands
        if to.startswith("{"):  # the lower half first
            whole, half = self._get(value, kind), f"i{BITS[kind] // 2}"
            upper = self._emit(f"lshr {kind} {whole}, {BITS[kind] // 2}")
            halves = re.findall(r"[^{},\s]+", to)
            for name, part in zip(halves, (whole, upper), strict=True):
                self._set(name, half, self._emit(f"trunc {kind} {part} to {half}"))
        elif value.startswith("{"):
            half = f"i{BITS[kind] // 2}"
            lower, upper = (
                self._emit(f"zext {half} {self._get(name, half)} to {kind}")
                for name in re.findall(r"[^{},\s]+", value)
            )
            upper = self._emit(f"shl {kind} {upper}, {BITS[kind] // 2}")
            self._set(to, kind, self._emit(f"or {kind} {upper}, {lower}"))
        else:
            self._set(to, kind, self._get(value, kind))

    def _do_cvta(self, parts: list[str], operands: list[str]) -> None:
        """Addresses in global memory are the same everywhere."""
        if "global" not in parts:
            raise NotImplementedError(".".join(parts))
        self._set(operands[0], "i64", self._get(operands[1], "i64"))

    def _do_cvt(self, parts: list[str], operands: list[str]) -> None:
        to, source = KINDS[parts[-2]], KINDS[parts[-1]]
        value, signed = self._get(operands[1], source), parts[-1][0] == "s"
        self._set(operands[0], to, self._converted(parts, value, to, source), signed=signed)

    def _converted(self, parts: list[str], value: str, to: str, source: str) -> str:
        floats = parts[-2][0] == "f", parts[-1][0] == "f"
        narrower = BITS[to] < BITS[source]
        if floats == (False, False):
            name = "trunc" if narrower else "sext" if parts[-1][0] == "s" else "zext"
            return value if to == source else self._emit(f"{name} {source} {value} to {to}")
        if floats == (True, False):
            name = "sitofp" if parts[-1][0] == "s" else "uitofp"
            return self._emit(f"{name} {source} {value} to {to}")
        if floats == (True, True):
            if parts[1] not in ("rn", parts[-2]):
                raise NotImplementedError(".".join(parts))
            return self._emit(f"{'fptrunc' if narrower else 'fpext'} {source} {value} to {to}")
        if parts[1] != "rzi":
            raise NotImplementedError(".".join(parts))
        name = f"llvm.fpto{parts[-2][0]}i.sat.{to}.{parts[-1]}"
        return self._emit(f"call {to} @{name}({source} {value})")
