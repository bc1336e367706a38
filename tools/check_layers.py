#!/usr/bin/env python3
"""Fails when a file includes a folder that its component does not declare, or breaks another rule of the code.

The layers are read from the component(...) lines of the CMakeLists.txt files, so the build and this check
cannot disagree. A line that must break a rule says why: `// layers: allow <reason>`.
"""
import pathlib
import re
import subprocess
import sys
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
LINES_MAX = 500
CODE = {".h", ".cc", ".py", ".sh", ".sql", ".ts", ".tsx", ".cmake"}
CODE_FOLDERS = ("src", "tests", "bench", "tools", "cmake", "migrations", "sdk", "web")
NOT_OURS = {".git", ".venv", ".deps", "build", "node_modules"}
ALLOW = re.compile(r"layers: allow \S+")


class Ban(NamedTuple):
    pattern: str
    why: str  # and what to use instead
    where: str = r"(src|tests|bench)/.*\.(h|cc)"
    but: str = r"(?!)"  # files for which it does not hold


BANS = [
    Ban(r"\bco_await\b[^;]*(\[[&=\w]|\{[^}])",
        "gcc 12 destroys such a temporary twice: name it on its own line first"),
    Ban(r"\bTRY\([^;]*\bco_await\b",
        "gcc 12 crashes on it: name the result, test it and co_return"),
    Ban(r"\bfor \([^;]* : ([^;]*(?<!\bfront\()(?<!\bback\()\)->[\w.]+\)|(\w+::)?(must|TRY)\(.*\)(\.\w+)+(\.(at|front|back)\(|\[))",
        "what the call returns, as a shared_ptr, is gone before the loop begins: name it on a line before"),
    Ban(r"\bsystem_clock::now|\btime\((nullptr|NULL|0)\)",
        "take the time from Clock, so that tests can move it", r"src/.*\.(h|cc)", r"src/base/time\.(h|cc)"),
    Ban(r"\bstd::(jthread|thread|async)\b(?!::)",
        "use net::run_on or a Worker, so that shutdown waits for it", r"src/.*\.(h|cc)", r"src/(net|app)/.*"),
    Ban(r"\b(double|float)\s+\w*(price|cost|amount|budget)", "money is Money, exact"),
    Ban(r"(?<![\w./-])/(work|farm|root|home/\w+|tmp/team)/",
        "a path of one machine: make it relative, or a setting", r".*"),
    Ban(r"\b(pypi\.org|pythonhosted\.org|npmjs\.(org|com)|crates\.io|proxy\.golang\.org|sum\.golang\.org|"
        r"repo1?\.maven\.(org|apache\.org)|(deb|security)\.debian\.org)\b",
        "a registry's host: its client knows where it is", r".*"),
]


class Component(NamedTuple):
    folder: str  # where its CMakeLists.txt should be: src/<folder>
    declared_in: str
    depends: list
    is_component: bool = True  # not a plain library


def words_after(keyword, words):
    """The words between a keyword of a CMake call and the next keyword."""
    found, taking = [], False
    for word in words:
        if word in ("SOURCES", "DEPENDS", "LINKS", "PRECOMPILE", "PUBLIC", "PRIVATE", "INTERFACE"):
            taking = word == keyword
        elif taking:
            found.append(word)
    return found


def cmake_text(path):
    return re.sub(r"#.*", "", path.read_text())


def is_ours(path, root):
    return not any(part in NOT_OURS or part.startswith("build") for part in path.relative_to(root).parts[:-1])


def components(root):
    """Every component(...) and plain library declared in the tree, by its name."""
    found = {}
    for path in sorted(p for p in root.rglob("CMakeLists.txt") if is_ours(p, root)):
        text, where = cmake_text(path), path.relative_to(root).as_posix()
        folder = path.parent.relative_to(root).as_posix().removeprefix("src").strip("/")
        for name, rest in re.findall(r"^\s*component\(\s*(\w+)([^)]*)\)", text, re.M):
            found[name] = Component(folder, where, words_after("DEPENDS", rest.split()))
        for name in re.findall(r"^\s*add_library\(\s*(\w+)\b", text, re.M):
            linked = re.findall(rf"^\s*target_link_libraries\(\s*{name}\s([^)]*)\)", text, re.M)
            words = " ".join(linked).split()
            depends = words_after("PUBLIC", words) + words_after("INTERFACE", words)
            found.setdefault(name, Component(folder, where, [word for word in depends if "::" not in word], False))
    return found


def layer_order(root):
    """The folders of src from the lowest up, as the root's foreach(folder ...) adds them."""
    path = root / "CMakeLists.txt"
    listed = re.search(r"foreach\(folder\s([^)]*)\)", cmake_text(path)) if path.exists() else None
    return listed[1].split() if listed else []


def declaration_faults(known, order):
    """What is wrong with the component(...) lines themselves: names, order, adapters, cycles."""
    rank = {folder: place for place, folder in enumerate(order)}

    def layer(folder):
        """A listed folder is a layer of its own; any other belongs to the one around it."""
        return folder if folder in rank else folder.split("/")[0]

    for name, component in known.items():
        own = layer(component.folder)
        # A library in a component's own folder, as generated code is, may be called anything.
        names = (component.folder.split("/")[-1], component.folder.replace("/", "_"))
        if component.folder and component.is_component and name not in names and own in rank:
            yield f"{component.declared_in}: component {name} lies in folder {component.folder}"
        for other in component.depends:
            if other == name or other not in known:
                yield f"{component.declared_in}: {name} depends on {other}, which is no other component"
                continue
            low = layer(known[other].folder)
            if low == "adapters" and own in rank and own != "app":
                yield f"{component.declared_in}: {name} may not depend on the adapter {other}; only app joins the two"
            elif own in rank and low in rank and component.folder != known[other].folder and rank[low] >= rank[own]:
                yield f"{component.declared_in}: {name} may not depend on {other}, which lies no lower"
    yield from cycle_faults(known)


def cycle_faults(known):
    done, path = set(), []

    def visit(name):
        if name in path:
            yield f"{known[name].declared_in}: a circle: {' -> '.join(path[path.index(name):] + [name])}"
        elif name not in done and name in known:
            path.append(name)
            for other in known[name].depends:
                yield from visit(other)
            path.pop()
            done.add(name)

    for name in sorted(known):
        yield from visit(name)


def files(root):
    """The files that are in git or would be with the next `git add`; all of them where there is no git."""
    if (root / ".git").exists():
        listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                                cwd=root, check=True, stdout=subprocess.PIPE, text=True).stdout
        names = sorted(set(listed.split("\0")) - {""})
    else:
        names = sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if is_ours(p, root))
    return [name for name in names if (root / name).is_file() and not (root / name).is_symlink()]


def include_faults(name, lines, known):
    """Includes by a file of src of folders that its component does not declare."""
    parts = name.split("/")[1:]
    if len(parts) < 2 or not name.endswith((".h", ".cc")):
        return
    own = parts[1] if parts[0] == "adapters" else parts[0]
    if "_".join(parts[:2]) in known:
        own = "_".join(parts[:2])
    if own not in known:
        yield f"{name}: folder {own} is no component: declare it in a CMakeLists.txt"
        return
    allowed = {own, *known[own].depends}
    for number, line in enumerate(lines, 1):
        included = re.match(r'\s*#\s*include\s+["<](?:src/)?(adapters/)?(\w+)/', line)
        if not included or ALLOW.search(line):
            continue
        target = included[2]
        if target in known and target not in allowed:
            yield f"{name}:{number}: {own} may not include {target}: its DEPENDS does not name it"
        elif target not in known and '"' in line and target not in allowed:
            yield f"{name}:{number}: {own} includes {target}, which is no component"


def without_texts(code):
    """The code with its comments and texts blanked out, so that every place stays where it was."""
    texts = r'R"([^(\s]*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<!\w)\'(?:\\.|[^\'\\\n])*\'|//[^\n]*|/\*.*?\*/'
    return re.sub(texts, lambda found: re.sub(r"[^\n]", " ", found[0]), code, flags=re.S)


def fields_of(code, start):
    """The fields between the brace at `start` and its end, without what stands in blocks of lambdas."""
    depth, found = 0, [""]
    block = None  # the depth at which a lambda's block began
    for place in range(start, len(code)):
        letter = code[place]
        if letter == "{" and block is None and place > start and re.search(r"(\)|\w>?|\])\s*$", code[start:place]) and \
                re.search(r"\[[^\[\]]*\]\s*(\([^()]*\))?\s*(mutable\s*)?(->[^;{}()]*)?$", code[start:place]):
            block = depth
        depth += letter in "([{"
        depth -= letter in ")]}"
        if block is not None:
            block = None if depth == block else block
        elif depth == 0:
            return found
        elif letter == "," and depth == 1:
            found.append("")
        else:
            found[-1] += letter
    return found


def leak_faults(name, code):
    """TRY in a field of an aggregate that has fields before it."""
    code = without_texts(code)
    for found in re.finditer(r"\{\s*\.\w+\s*=", code):
        if any(re.search(r"\bTRY\(", field) for field in fields_of(code, found.start())[1:]):
            yield (f"{name}:{code.count(chr(10), 0, found.start()) + 1}: gcc 12 never destroys the fields that stand "
                   "before a TRY that returns: give its value a name on a line before")


def faults(root):
    """Everything that is wrong below root, one line each."""
    known = components(root)
    yield from declaration_faults(known, layer_order(root))
    for name in files(root):
        raw = (root / name).read_bytes()
        if b"\0" in raw:
            continue
        lines = raw.decode("utf-8", "replace").splitlines()
        top, suffix = name.split("/")[0], pathlib.PurePosixPath(name).suffix
        if top in CODE_FOLDERS and suffix in CODE and len(lines) > LINES_MAX:
            yield f"{name}: {len(lines)} lines; the limit is {LINES_MAX}"
        if top == "src":
            yield from include_faults(name, lines, known)
        if top == "src" and suffix in (".h", ".cc"):
            yield from leak_faults(name, "\n".join(lines))
        bans = [(re.compile(ban.pattern), ban.why) for ban in BANS
                if re.fullmatch(ban.where, name) and not re.fullmatch(ban.but, name)]
        for number, line in enumerate(lines, 1):
            for pattern, why in bans:
                if pattern.search(line) and not ALLOW.search(line):
                    yield f"{name}:{number}: {why}"


def main():
    found = list(faults(ROOT))
    print("\n".join(found) or "layers: clean")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
