"""What check_layers.py must refuse, and what it must let pass."""
import textwrap

import check_layers
import pytest

CMAKE = """
    # component(nonsense DEPENDS nowhere) is a comment and declares nothing.
    function(component name)
    endfunction()
    foreach(folder
        base ports
        audit
        registry
        adapters
        net
        app)
      add_subdirectory(src/${folder})
    endforeach()
"""
TREE = {
    "CMakeLists.txt": CMAKE,
    "src/base/CMakeLists.txt": "component(base SOURCES time.cc LINKS penstock::fmt)",
    "src/base/time.h": "#include <chrono>",
    "src/base/time.cc": "auto now() { return std::chrono::system_clock::now(); }",
    "src/ports/CMakeLists.txt": "add_library(ports INTERFACE)\ntarget_link_libraries(ports INTERFACE base)",
    "src/ports/sql.h": '#include "base/time.h"',
    "src/audit/CMakeLists.txt": "component(audit SOURCES audit.cc DEPENDS base ports)",
    "src/audit/audit.h": '#include "base/time.h"',
    "src/registry/CMakeLists.txt": """
        component(registry
          SOURCES
            service.cc  # the meaning
          DEPENDS
            base
            ports
            audit
          LINKS penstock::re2)
    """,
    "src/registry/service.cc": '#include "audit/audit.h"\n#include "registry/service.h"\n#include <re2/re2.h>',
    "src/registry/service.h": "int answer();",
    "src/adapters/sqlite/CMakeLists.txt": "component(sqlite SOURCES sqlite.cc DEPENDS base ports LINKS sqlite3)",
    "src/adapters/sqlite/sqlite.cc": '#include "adapters/sqlite/sqlite.h"\n#include "ports/sql.h"',
    "src/adapters/sqlite/sqlite.h": "",
    "src/net/CMakeLists.txt": "component(net SOURCES serve.cc DEPENDS base)",
    "src/net/serve.cc": "std::jthread worker;\nint n = std::thread::hardware_concurrency();",
    "src/app/CMakeLists.txt": "component(app SOURCES main.cc DEPENDS base ports registry sqlite net)",
    "src/app/main.cc": '#include "adapters/sqlite/sqlite.h"\n#include "net/serve.h"',
    "tests/unit/registry/service_test.cc": '#include "adapters/sqlite/sqlite.h"\nstd::thread racer;',
}


@pytest.fixture
def faults(tmp_path):
    """A function: writes the clean tree with the given changes, and returns what the check says of it."""
    def check(changes=None):
        for name, text in {**TREE, **(changes or {})}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        return list(check_layers.faults(tmp_path))
    return check


def test_a_clean_tree_passes(faults):
    assert faults() == []


REFUSED = [
    ("an include that is not declared", "src/audit/audit.h", '#include "registry/service.h"',
     "src/audit/audit.h:1: audit may not include registry"),
    ("an include by way of another's DEPENDS", "src/net/serve.cc", '#include "ports/sql.h"',
     "src/net/serve.cc:1: net may not include ports"),
    ("an adapter seen by a component", "src/registry/service.h", '\n#include "adapters/sqlite/sqlite.h"',
     "src/registry/service.h:2: registry may not include sqlite"),
    ("an include with blanks and brackets", "src/base/time.h", "#  include <audit/audit.h>",
     "src/base/time.h:1: base may not include audit"),
    ("a nested file of a component", "src/registry/store/rows.h", '#include "net/serve.h"',
     "src/registry/store/rows.h:1: registry may not include net"),
    ("a folder without a component", "src/costs/ledger.cc", "", "src/costs/ledger.cc: folder costs is no component"),
    ("an include of a folder without one", "src/audit/audit.h", '#include "costs/ledger.h"',
     "src/audit/audit.h:1: audit includes costs, which is no component"),
    ("a name that is not its folder's", "src/net/CMakeLists.txt",
     "component(net SOURCES a.cc DEPENDS base)\ncomponent(server SOURCES b.cc)", "component server lies in folder net"),
    ("DEPENDS on nothing known", "src/audit/CMakeLists.txt", "component(audit SOURCES a.cc DEPENDS base bse ports)",
     "audit depends on bse, which is no other component"),
    ("DEPENDS on itself", "src/audit/CMakeLists.txt", "component(audit SOURCES a.cc DEPENDS audit base ports)",
     "audit depends on audit, which is no other component"),
    ("DEPENDS that points up", "src/audit/CMakeLists.txt", "component(audit SOURCES a.cc DEPENDS base registry)",
     "audit may not depend on registry, which lies no lower"),
    ("a circle", "src/audit/CMakeLists.txt", "component(audit SOURCES a.cc DEPENDS registry)",
     "a circle: registry -> audit -> registry"),
    ("DEPENDS on an adapter", "src/registry/CMakeLists.txt",
     "component(registry SOURCES a.cc DEPENDS base ports audit sqlite)", "registry may not depend on the adapter sqlite"),
    ("a file that is too long", "src/net/serve.cc", "\n" * 501, "src/net/serve.cc: 501 lines; the limit is 500"),
    ("a test that is too long", "tests/unit/a_test.cc", "\n" * 501, "tests/unit/a_test.cc: 501 lines"),
    ("a bench that is too long", "bench/a_bench.cc", "\n" * 501, "bench/a_bench.cc: 501 lines"),
    ("a thread in a component", "src/registry/service.h", "std::thread worker;", "service.h:1: use net::run_on"),
    ("a jthread in an adapter", "src/adapters/sqlite/sqlite.h", "std::jthread w;", "sqlite.h:1: use net::run_on"),
    ("async", "src/registry/service.h", "auto f = std::async(g);", "service.h:1: use net::run_on"),
    ("the wall clock", "src/net/serve.cc", "auto t = std::chrono::system_clock::now();", "take the time from Clock"),
    ("C's wall clock", "src/net/serve.cc", "auto t = time(nullptr);", "take the time from Clock"),
    ("money in a double", "src/base/time.h", "double unit_price = 0;", "money is Money"),
    ("money in a float of a test", "tests/unit/a_test.cc", "  float cost = 1.5F;", "money is Money"),
    ("a lambda in co_await", "src/net/serve.cc", "co_await run_on(workers, [&] { return 1; });", "gcc 12 destroys"),
    ("a braced struct in co_await", "src/net/serve.cc", "co_await send(Response{200});", "gcc 12 destroys"),
    ("co_await in TRY", "src/net/serve.cc", "auto v = TRY(co_await read());", "gcc 12 crashes"),
    ("TRY behind a field", "src/registry/service.cc", 'return A{.a = f("{"),\n         .b = TRY(g())};',
     "service.cc:1: gcc 12 never destroys"),
    ("TRY in an aggregate within one", "src/registry/service.cc", "f({.a = x, .b = {.c = TRY(g())}});",
     "service.cc:1: gcc 12 never destroys"),
    ("a loop over a member of what a pointer points to", "src/registry/service.cc", "for (auto& a : table_.get()->all) f(a);",
     "service.cc:1: what the call returns"),
    ("a loop over a member of what TRY gives", "src/registry/service.cc", "for (auto& a : TRY(used(call))->views)",
     "service.cc:1: what the call returns"),
    ("a loop over a part of a result", "tests/unit/a_test.cc", "for (auto& a : test::must(f(b)).all.at(0).rows)",
     "a_test.cc:1: what the call returns"),
    ("an allowance without a reason", "src/registry/service.h", "std::thread t;  // layers: allow", "use net::run_on"),
    ("a path of one machine", "docs/notes.md", "see /ho" "me/ana/penstock", "docs/notes.md:1: a path of one machine"),
    ("a path in a script", "tools/x.sh", "cd /wo" "rk/main", "tools/x.sh:1: a path of one machine"),
    ("a registry's host", "web/.npmrc", "registry=https://registry.npmjs" ".org/", "web/.npmrc:1: a registry's host"),
    ("an index of Python's", "Dockerfile", "pip install -i https://pypi" ".org/simple x", "a registry's host"),
]


@pytest.mark.parametrize(("name", "text", "fault"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_refuses(faults, name, text, fault):
    found = faults({name: text})
    assert any(fault in line for line in found), found


ALLOWED = [
    ("a loop over a member of a result", "tests/unit/a_test.cc", "for (auto& a : must(f(b)).all) g(a);"),
    ("a loop over what a named pointer points to", "src/registry/service.cc", "for (auto& a : found->all) g(b)->h = a;"),
    ("a loop over what the last of a list points to", "src/registry/service.cc", "for (auto& a : all.back()->views) g(a);"),
    ("TRY in the first field", "src/registry/service.cc", "return A{.a = TRY(g()), .b = 1};"),
    ("TRY in a lambda of its own", "src/registry/service.cc",
     "return A{.a = x, .b = [&](int c) -> Result<int> { return TRY(g(c)); }};"),
    ("TRY in a comment", "src/registry/service.cc", "A a{.a = x,  // not TRY(g())\n    .b = y};"),
    ("a line that says why", "src/registry/service.h", "std::thread t;  // layers: allow it ends with the process"),
    ("other words with the same start", "src/registry/service.h", "std::thread_local_thing x; double latency = 1;"),
    ("a thread's id", "src/registry/service.h", "std::thread::id owner;"),
    ("the clock's own file", "src/base/time.cc", "return std::chrono::system_clock::now();"),
    ("a type of the clock", "src/net/serve.cc", "std::chrono::system_clock::time_point t;"),
    ("a plain co_await", "src/net/serve.cc", "auto v = co_await run_on(workers, work);"),
    ("a path of the API", "docs/api.md", "GET /api/v1/work/orders or https://example.com/home/"),
    ("exactly 500 lines", "src/net/serve.cc", "\n" * 500),
    ("what is no code of ours", "build/x/src/base/a.cc", "std::thread t;"),
]


@pytest.mark.parametrize(("name", "text"), [case[1:] for case in ALLOWED], ids=[case[0] for case in ALLOWED])
def test_allows(faults, name, text):
    assert faults({name: text}) == []


def test_looks_at_files_that_git_does_not_know_yet_but_not_at_ignored_ones(faults, tmp_path):
    check_layers.subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    found = faults({".gitignore": "/out/", "out/a.md": "/wo" "rk/x", "new.md": "/wo" "rk/x"})
    assert [line.split(":")[0] for line in found] == ["new.md"]
