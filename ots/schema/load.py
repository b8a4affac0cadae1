"""From the text of a case to a Case that can be planned, or to every problem in it at its place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NoReturn

from ots.schema.case import Block, Case
from ots.schema.crossing import WrittenBlock, WrittenStep, check_crossing
from ots.schema.errors import CaseError, Problem
from ots.schema.for_each import expand, instance_name
from ots.schema.kinds import Kind
from ots.schema.parameter import Parameter, read_parameter
from ots.schema.place import InFile
from ots.schema.quick import case_of_probe
from ots.schema.schedule import read_schedule
from ots.schema.shape import check_each
from ots.schema.step import Instance, read_precheck, read_step
from ots.schema.target_list import NO_LISTS, Lists
from ots.schema.written import FORMAT, CaseWritten, OnFailure
from ots.strictyaml import Mapping as MappingNode
from ots.strictyaml import Mark, Node, Scalar, Sequence, Variables, YamlError, compose, resolve, suggest
from ots.strictyaml.variable import NAME

__all__ = ["CaseError", "Problem", "case_of_probe", "load_case"]

MAX_STEPS = 1000
MAX_PROBLEMS = 300

NOTHING_SET: Mapping[str, str] = MappingProxyType({})

_READ_APART = ("vars", "steps", "precheck", "schedule")


def load_case(
    text: str | bytes,
    source: str,
    kinds: Mapping[str, Kind],
    variables: Mapping[str, str],
    lists: Lists = NO_LISTS,
    *,
    parameters: Mapping[str, str] = NOTHING_SET,
) -> Case:
    """Checks a case and expands it. `variables` win over the case's own `vars`, `lists` are what `@name` can
    mean as a target. `parameters` come from elsewhere and win over both, where the case lets others set them.
    Raises CaseError.
    """
    try:
        tree = compose(text, source)
    except YamlError as error:
        raise CaseError(error.problems) from None
    data = text.encode("utf-8") if isinstance(text, str) else text
    return _Loader(tree, source, kinds, variables, lists, parameters).case(hashlib.sha256(data).hexdigest())


class _Problems(list[Problem]):
    """The problems so far. Nobody reads more than a few hundred, and finding them all may take long."""

    def append(self, problem: Problem) -> None:
        super().append(problem)
        if len(self) >= MAX_PROBLEMS:
            raise CaseError(self)


class _Loader:
    """One case on its way; problems gather until the end."""

    def __init__(
        self,
        tree: Node,
        source: str,
        kinds: Mapping[str, Kind],
        variables: Mapping[str, str],
        lists: Lists,
        parameters: Mapping[str, str],
    ) -> None:
        self.source = source
        self.kinds = kinds
        self.lists = lists
        self.problems = _Problems()
        self.used: set[str] = set()
        self.steps = 0
        self.faulty: dict[str, str] = {}
        if not isinstance(tree, MappingNode):
            self._stop(tree.mark, "a case is a mapping that starts with ots: 1")
        self.tree = tree
        self._check_format()
        self.parameters: dict[str, Parameter] = {}
        self.variables = self._own_variables(variables, parameters)

    def case(self, sha256: str) -> Case:
        written = self._head()
        blocks = list(self._blocks(written.on_failure if written is not None else "continue"))
        check_crossing(blocks)
        precheck = schedule = None
        if (node := self.tree.get("precheck")) is not None:
            precheck = read_precheck(*self._fill(node, self.variables), self.kinds, self.lists)
        if (node := self.tree.get("schedule")) is not None:
            data, place = self._fill(node, self.variables)
            schedule = read_schedule(data, place)
            if schedule is not None and schedule.catch_up == "once" and _loads_a_link(blocks):
                place.problem(("catch_up",), "a case that loads its link is never made up for", key=True)
        if self.problems or written is None:
            raise CaseError(self.problems)
        sketches = [sketch for block in blocks for step in block.steps for sketch in step.sketches]
        return Case(
            id=written.id,
            version=written.version,
            title=written.title,
            tags=written.tags,
            precheck=precheck,
            blocks=tuple(_block(block) for block in blocks),
            schedule=schedule,
            time_limit=written.time_limit,
            on_failure=written.on_failure,
            sha256=sha256,
            source=self.source,
            warnings=tuple(dict.fromkeys(text for sketch in sketches for text in sketch.warnings)),
            variables=frozenset(self.used),
            parameters=self.parameters,
            base=written.base,
        )

    def _check_format(self) -> None:
        """Of a format that this OTS doesn't know nothing else is looked at: it may mean anything."""
        node = self.tree.get("ots")
        if isinstance(node, Scalar) and node.text.isdecimal() and int(node.text[:9]) != FORMAT:
            number = int(node.text[:9])
            advice = "update OTS" if number > FORMAT else f"write ots: {FORMAT}"
            self._stop(
                node.mark, f"this is case format {number}, and this OTS reads format {FORMAT}: {advice}"
            )

    def _own_variables(
        self, given: Mapping[str, str], parameters: Mapping[str, str]
    ) -> dict[str, str | None]:
        """The case's own variables under those given. One may use those that stand before it."""
        values: dict[str, str | None] = dict(given)
        node = self.tree.get("vars")
        if node is not None and not isinstance(node, MappingNode):
            self._note(node.mark, "vars needs names and values, such as {server: 192.0.2.1}")
        pairs = node.pairs if isinstance(node, MappingNode) else ()
        later = {
            name.text: f"variable {name.text!r} stands below: put it before this one" for name, _ in pairs
        }
        for name, value in pairs:
            if not NAME.fullmatch(name.text):
                self._note(name.mark, f"{name.text!r} is no variable name: letters, digits and _")
            elif isinstance(value, MappingNode):
                values[name.text] = self._parameter(name.text, value, {**given, **parameters})
            elif not isinstance(value, Scalar):
                self._note(value.mark, f"{name.text} needs one value, not a list")
                self.faulty[name.text] = ""
            elif name.text not in given:
                variables = Variables(values, self.used, {**later, **self.faulty})
                text = variables.expand(value, self.problems, self.source)
                values[name.text] = None if value.plain and resolve(value, []) is None else text
                if variables.spoiled:
                    self.faulty[name.text] = ""
            later.pop(name.text, None)
        bounded = {name.text for name, value in pairs if isinstance(value, MappingNode)}
        for asked in parameters:
            if asked not in bounded:
                near = suggest(asked, bounded)
                message = f"parameters.{asked[:80]}: the case lets nobody set it from elsewhere{near}"
                self.problems.append(Problem(self.source, 0, 0, message))
        return values

    def _parameter(self, name: str, node: MappingNode, given: Mapping[str, str]) -> str | None:
        """The value of a variable with bounds, which hold for whoever sets it."""
        data = resolve(node, self.problems, self.source)
        parameter = read_parameter(name, data, InFile(self.source, node, self.problems, self._settled()))
        if parameter is None:
            self.faulty[name] = ""
            return None
        self.parameters[name] = parameter
        if name not in given:
            return parameter.default
        fault = parameter.fault(given[name])
        if fault is not None:
            self.faulty[name] = ""
            self.problems.append(Problem(self.source, 0, 0, f"parameters.{name}: {fault}"))
        return given[name]

    def _head(self) -> CaseWritten | None:
        """Everything but the parts that are read on their own."""
        pairs = tuple(pair for pair in self.tree.pairs if pair[0].text not in _READ_APART)
        data, _ = self._fill(MappingNode(pairs, self.tree.mark), self.variables)
        steps = self.tree.get("steps")
        if steps is not None:
            data["steps"] = [None] * len(steps.items) if isinstance(steps, Sequence) else resolve(steps, [])
        place = InFile(self.source, self.tree, self.problems, self._settled())
        written, _ = check_each(CaseWritten, data, place, "a case")
        return written

    def _blocks(self, on_failure: OnFailure) -> Iterator[WrittenBlock]:
        steps = self.tree.get("steps")
        for item in steps.items if isinstance(steps, Sequence) else ():
            if isinstance(item, MappingNode) and (group := item.get("parallel")) is not None:
                yield self._parallel(item, group, on_failure)
            else:
                yield WrittenBlock((self._step(item, on_failure),), parallel=False)

    def _parallel(self, item: MappingNode, group: Node, on_failure: OnFailure) -> WrittenBlock:
        for key, _ in item.pairs:
            if key.text != "parallel":
                self._note(key.mark, f"{key.text!r} can't stand beside parallel: put it into its steps")
        if not isinstance(group, Sequence) or not group.items:
            self._note(group.mark, "parallel needs a list of steps")
            return WrittenBlock((), parallel=True)
        return WrittenBlock(tuple(self._step(member, on_failure) for member in group.items), parallel=True)

    def _step(self, node: Node, on_failure: OnFailure) -> WrittenStep:
        """One written step, expanded and read once for each instance."""
        body, own = node, None
        if isinstance(node, MappingNode):
            own = node.get("for_each")
            if node.get("parallel") is not None:
                self._note(node.mark, "parallel can't stand inside parallel: list its steps here")
                return WrittenStep(None, InFile(self.source, node, self.problems, frozenset()), False, ())
            body = MappingNode(tuple(pair for pair in node.pairs if pair[0].text != "for_each"), node.mark)
        if own is not None:
            own = Variables(self.variables, self.used, self.faulty).apply(own, self.problems, self.source)
        sketches, ids = [], []
        for variables in expand(own, self.problems, self.source):
            self._count(node.mark)
            name = instance_name(variables) if own is not None else None
            data, place = self._fill(body, {**self.variables, **variables})
            ids.append(data.get("id") if isinstance(data, dict) else None)
            instance = Instance(name, node.mark.line)
            sketches.append(read_step(data, place, self.kinds, instance, on_failure, self.lists))
        place = InFile(self.source, node, self.problems, self._settled())
        if len(set(map(str, ids))) > 1:
            place.problem(("id",), "the id must be the same for all of for_each: the values are added to it")
        return WrittenStep(_text(node, ids), place, own is not None, tuple(sketches))

    def _count(self, mark: Mark) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            self._stop(mark, f"more than {MAX_STEPS} steps, for_each expanded")

    def _fill(self, node: Node, variables: Mapping[str, str | None]) -> tuple[Any, InFile]:
        """The data of a node with the variables in, and its place."""
        values = Variables(variables, self.used, self.faulty)
        filled = values.apply(node, self.problems, self.source)
        data = resolve(filled, self.problems, self.source)
        return data, InFile(self.source, node, self.problems, self._settled() | values.spoiled)

    def _settled(self) -> frozenset[Mark]:
        """Where something is wrong already, so that nothing more need be said."""
        return frozenset(Mark(problem.line, problem.column) for problem in self.problems)

    def _note(self, mark: Mark, message: str) -> None:
        self.problems.append(Problem(self.source, mark.line, mark.column, message))

    def _stop(self, mark: Mark, message: str) -> NoReturn:
        self._note(mark, message)
        raise CaseError(self.problems)


def _text(node: Node, ids: list[Any]) -> str | None:
    """The step's id, also where the step itself could not be read."""
    if ids:
        return ids[0] if isinstance(ids[0], str) else None
    written = node.get("id") if isinstance(node, MappingNode) else None
    return written.text if isinstance(written, Scalar) else None


def _loads_a_link(blocks: Iterable[WrittenBlock]) -> bool:
    sketches = (sketch for block in blocks for step in block.steps for sketch in step.sketches)
    return any(sketch.kind is not None and sketch.kind.exclusive == "link" for sketch in sketches)


def _block(block: WrittenBlock) -> Block:
    steps = [sketch.step for step in block.steps for sketch in step.sketches]
    return Block(tuple(step for step in steps if step is not None), block.parallel)
