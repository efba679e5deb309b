"""A kernel's PTX as LLVM IR that a CPU runs, thread by thread from one wait to the next.

In: PTX as NVVM writes it. Out: IR of a function `step(registers, at, machine)`. It runs one thread
from its beginning (`at` 0) or from behind the place `at` where it waited for others, and returns
the number of the next such place, `FINISHED`, or `FAULT`. Between calls the thread is its
registers, eight bytes each. Every access to memory asks `access` first, which `ptx_machine.py`
provides, and every basic block counts its visits.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from ptx_instructions import BITS, KINDS, Instructions

FINISHED, FAULT = -1, -2
READ, WRITE, ATOMIC = 0, 1, 2
BARRIER, SYNC, ANY, UP, INDEX = range(5)  # what threads wait for
STATEMENT = re.compile(r"(?:@(!?)(%p\d+)\s+)?([a-z][\w.]*)\s*(.*)", re.DOTALL)


class Translation(NamedTuple):
    """What `translate` returns."""

    ir: str
    registers: int
    waits: list[int]  # what a thread waits for at each place, the first being number 1
    firsts: list[int]  # the line before each basic block, in the order of the counters of visits,
    sizes: list[int]  # and how many instructions it has


def translate(ptx: str) -> Translation:
    """Return the one kernel of a module of PTX as IR."""
    return _Translator(ptx).translation()


class _Translator(Instructions):
    def __init__(self, ptx: str) -> None:
        lines = [line.split("//")[0].rstrip() for line in ptx.splitlines()]
        entry = next(number for number, line in enumerate(lines) if ".entry" in line)
        self._names = re.findall(r"\.param \.\w+ (\w+)", "\n".join(lines[entry:]))
        declared = re.findall(r"\.reg \.(\w+)\s+(%\w+)[<;]", "\n".join(lines))
        super().__init__({name: KINDS[kind] for kind, name in declared})
        self._sizes: list[int] = []
        self._firsts: list[int] = []
        self._waits: list[int] = []
        self._text = "\n".join(lines)
        self._constants = dict(re.findall(r"mov\.u32\s+(%r\d+), (-?\d+);", self._text))
        body = lines.index("{", entry)
        for number, line in enumerate(lines[body + 1 :], body + 2):
            self._line = number
            text = re.sub(r"\.(reg|pragma) [^;]*;|^\s*[{}]|;\s*}?$", "", line).strip()
            if text.endswith(":"):
                self._begin(self._label(text[:-1]), fall=True)
            elif text:
                self._statement(text)

    def translation(self) -> Translation:
        """Put the pieces together."""
        labels = "".join(f" i32 {n + 1}, label %resumed{n}" for n in range(len(self._waits)))
        head = [
            "declare i32 @access(ptr, i64, i32, i32, i64, i32, ptr)",
            *_intrinsics("\n".join(self._out)),
            "define i32 @step(ptr %registers, i32 %at, ptr %machine) {",
            f"switch i32 %at, label %start [{labels} ]",
            "start:",
        ]
        ir = "\n".join([*head, *self._out, f"ret i32 {FINISHED}", "}"])
        return Translation(ir, len(self._slots), self._waits, self._firsts, self._sizes)

    def _begin(self, label: str, *, fall: bool = False) -> None:
        if fall:
            self._out.append(f"br label %{label}")
        self._out.append(f"{label}:")
        counters = self._machine("visits", "ptr")
        at = self._emit(f"getelementptr i64, ptr {counters}, i64 {len(self._sizes)}")
        more = self._emit(f"add i64 {self._emit(f'load i64, ptr {at}')}, 1")
        self._out.append(f"store i64 {more}, ptr {at}")
        self._sizes.append(0)
        self._firsts.append(self._line)

    def _label(self, name: str) -> str:
        return "L" + re.sub(r"\W", "_", name)

    # -- statements --------------------------------------------------------------------------------

    def _statement(self, text: str) -> None:
        matched = STATEMENT.fullmatch(text)
        if matched is None:
            raise NotImplementedError(f"line {self._line}: {text}")
        negated, predicate, opcode, rest = matched.groups()
        if not self._sizes:
            self._begin("begin", fall=True)
        self._sizes[-1] += 1
        skip = ""
        if predicate:
            taken, skip = f"T{self._line}", f"S{self._line}"
            yes, no = (skip, taken) if negated else (taken, skip)
            self._out.append(f"br i1 {self._get(predicate, 'i1')}, label %{yes}, label %{no}")
            self._out.append(f"{taken}:")
        operands = re.findall(r"\{[^}]*\}|\[[^\]]*\]|[^,\s]+", rest)
        handler: Callable[..., None] | None = getattr(self, "_do_" + opcode.split(".")[0], None)
        try:
            if handler is None:
                raise NotImplementedError("no such instruction")
            handler(opcode.split("."), operands)
        except (NotImplementedError, KeyError, ValueError) as error:
            raise NotImplementedError(f"line {self._line}: {text}") from error
        if predicate:
            self._begin(skip, fall=True)

    def _do_bra(self, parts: list[str], operands: list[str]) -> None:
        self._out.append(f"br label %{self._label(operands[0])}")
        self._begin(f"after{self._line}")

    def _do_ret(self, parts: list[str], operands: list[str]) -> None:
        self._out.append(f"ret i32 {FINISHED}")
        self._begin(f"after{self._line}")

    def _wait(self, kind: int, *given: str) -> None:
        """Hand the thread back until others have come here too; given: what they need to know."""
        for name, value in zip(("mask", "given", "from"), given, strict=False):
            self._out.append(f"store i64 {value}, ptr {self._word(name)}")
        label = f"resumed{len(self._waits)}"
        self._waits.append(kind)
        self._out.append(f"ret i32 {len(self._waits)}")
        self._begin(label)

    def _widened(self, operand: str, kind: str = "i32") -> str:
        return self._emit(f"zext {kind} {self._get(operand, kind)} to i64")

    def _do_bar(self, parts: list[str], operands: list[str]) -> None:
        if parts[1:] == ["warp", "sync"]:
            self._wait(SYNC, self._widened(operands[0]))
        elif parts[1:] == ["sync"]:
            self._wait(BARRIER)
        else:
            raise NotImplementedError(parts)

    def _do_vote(self, parts: list[str], operands: list[str]) -> None:
        if parts[1:] != ["sync", "any", "pred"]:
            raise NotImplementedError(parts)
        self._wait(ANY, self._widened(operands[2]), self._widened(operands[1], "i1"))
        self._set(operands[0], "i1", self._machine("returned", "i1"))

    def _do_shfl(self, parts: list[str], operands: list[str]) -> None:
        """Between all 32 lanes; nobody may ask whether there was one to take from."""
        kinds = {("up", "0"): UP, ("idx", "31"): INDEX}
        to, inside = operands[0].split("|")
        clamp = self._constants.get(operands[3], operands[3])
        if parts[1] != "sync" or len(re.findall(rf"{inside}\b", self._text)) > 1:
            raise NotImplementedError(parts)
        mask, value, source = (self._widened(operands[n]) for n in (4, 1, 2))
        self._wait(kinds[parts[2], clamp], mask, value, source)
        self._set(to, "i32", self._machine("returned", "i32"))

    def _address(self, operand: str, space: str) -> str:
        base, _, offset = operand.strip("[]").partition("+")
        address = self._emit(f"add i64 {self._get(base, 'i64')}, {offset or 0}")
        if space == "shared":
            address = self._emit(f"add i64 {self._machine('shared', 'i64')}, {address}")
        return address

    def _ask(self, address: str, size: int, how: int, value: str = "0") -> str:
        """Ask for an access to so many bytes, with what a write brings; return the pointer."""
        pointer = self._emit(f"inttoptr i64 {address} to ptr")
        refused = self._emit(
            f"call i32 @access(ptr {pointer}, i64 {address}, i32 {size}, i32 {how}, "
            f"i64 {value}, i32 {self._line}, ptr %machine)"
        )
        label = f"M{self._next}"
        no = self._emit(f"icmp ne i32 {refused}, 0")
        self._out.append(f"br i1 {no}, label %{label}f, label %{label}")
        self._out += [f"{label}f:", f"ret i32 {FAULT}", f"{label}:"]
        return pointer

    def _do_ld(self, parts: list[str], operands: list[str]) -> None:
        kind, space = KINDS[parts[-1]], parts[1]
        if parts[-2] == "v4":
            self._load_four(operands, kind, space)
            return
        if space == "param":
            slot = self._names.index(operands[1].strip("[]"))
            pointer = self._emit(
                f"getelementptr i64, ptr {self._machine('parameters', 'ptr')}, i64 {slot}"
            )
        else:
            pointer = self._ask(self._address(operands[1], space), BITS[kind] // 8, READ)
        value = self._emit(f"load {kind}, ptr {pointer}")
        self._set(operands[0], kind, value, signed=parts[-1][0] == "s")

    def _load_four(self, operands: list[str], kind: str, space: str) -> None:
        address, size = self._address(operands[1], space), BITS[kind] // 8
        pointer = self._ask(address, 4 * size, READ)
        for number, register in enumerate(re.findall(r"%\w+", operands[0])):
            at = self._emit(f"getelementptr i8, ptr {pointer}, i64 {number * size}")
            self._set(register, kind, self._emit(f"load {kind}, ptr {at}"))

    def _do_st(self, parts: list[str], operands: list[str]) -> None:
        kind = KINDS[parts[-1]]
        value = self._get(operands[1], kind)
        bits, brought = f"i{BITS[kind]}", value
        if bits != kind:
            brought = self._emit(f"bitcast {kind} {brought} to {bits}")
        if bits != "i64":
            brought = self._emit(f"zext {bits} {brought} to i64")
        address = self._address(operands[0], parts[1])
        pointer = self._ask(address, BITS[kind] // 8, WRITE, brought)
        self._out.append(f"store {kind} {value}, ptr {pointer}")

    def _do_atom(self, parts: list[str], operands: list[str]) -> None:
        kind, how = KINDS[parts[-1]], parts[-2]
        if (how, parts[-1][0]) not in {("add", "u"), ("add", "s"), ("or", "b"), ("max", "s")}:
            raise NotImplementedError(".".join(parts))
        value = self._get(operands[2], kind)
        pointer = self._ask(self._address(operands[1], parts[1]), BITS[kind] // 8, ATOMIC)
        old = self._emit(f"atomicrmw {how} ptr {pointer}, {kind} {value} monotonic")
        self._set(operands[0], kind, old)


def _intrinsics(ir: str) -> list[str]:
    """Declare what is called."""
    calls = re.findall(r"call (\w+) @(llvm[\w.]+)\(([^)]*)\)", ir)
    declared = {
        name: f"declare {kind} @{name}({', '.join(part.split()[0] for part in values.split(', '))})"
        for kind, name, values in calls
    }
    return [declared[name] for name in sorted(declared)]
