#!/usr/bin/env bash
# Brings a fresh Debian 12 (x86_64) to where the project builds and its tests run. Idempotent: when all
# is there it only looks, in less than 2 seconds. Nothing comes from anywhere but package registries, through
# their own clients and with this machine's own settings for them.
#
#   tools/pins/apt.txt              Debian packages
#   tools/pins/requirements*.lock   Python packages, into .venv, each by its digest
#   .deps/bin/versitygw             an S3 server for tests, built by go
#   .deps/kafka                     a Kafka broker for tests: jars, each by its digest
#   .deps/{arrow,duckdb,onnxruntime}  headers and libraries that Debian 12 does not have, by their digests
#
# cmake/dependencies.cmake looks in .deps only for what the system lacks.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
umask 022

readonly duckdb_npm='@duckdb/node-bindings-linux-x64@1.5.6-r.1'  # holds libduckdb.so
readonly duckdb_crate='1.10506.0'                                # libduckdb-sys: duckdb.h of 1.5.6
readonly onnxruntime_go='github.com/yalue/onnxruntime_go@v1.27.0'  # holds the C header, API 24
readonly versitygw='github.com/versity/versitygw/cmd/versitygw@v1.8.0'  # Apache-2.0; checks signatures
readonly pins="$PWD/tools/pins" deps="$PWD/.deps" venv="$PWD/.venv"

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }
list() { sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$1"; }

# ---- what is there ----

# The packages of apt.txt that are not installed, and the clients that nobody has put on this machine.
missing_packages() {
  local wanted
  wanted=$(list "$pins/apt.txt")
  # shellcheck disable=SC2086  # one word per package
  comm -23 <(sort <<<"$wanted") <(dpkg-query -W -f='${db:Status-Status} ${Package}\n' $wanted 2>/dev/null |
    sed -n 's/^installed //p' | sort)
  while read -r command package; do
    command -v "$command" >/dev/null || echo "$package"
  done < <(list "$pins/commands.txt")
}

# What the stamp stands for: this script, its pins and the place.
state() { { cat "$0" "$pins"/*.*; echo "$PWD"; } | sha256sum | cut -d ' ' -f 1; }

downloads_there() {
  [[ -f $deps/stamp && $(<"$deps/stamp") == "$1" ]] && "$venv/bin/python" -c '' 2>/dev/null &&
    [[ -f $deps/duckdb/lib/libduckdb.so && -f $deps/duckdb/include/duckdb.h ]] &&
    [[ -f $deps/onnxruntime/include/onnxruntime_c_api.h && -e $deps/onnxruntime/lib/libonnxruntime.so ]] &&
    versitygw_there && kafka_there &&
    [[ -f $deps/arrow/include/arrow/api.h && -e $deps/arrow/lib/libarrow.so.2600 ]]
}

# ---- Debian ----

install_packages() {
  local root=()
  if [[ $(id -u) -ne 0 ]]; then
    command -v sudo >/dev/null || fail "root or sudo is needed to install: $*"
    root=(sudo)
  fi
  say "Debian packages: $*"
  "${root[@]}" apt-get update -qq
  # Servers among them are for the tests to start: none shall start by being installed.
  local policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' | "${root[@]}" install -m 755 /dev/stdin "$policy"
    # shellcheck disable=SC2064  # the names as they are now
    trap "${root[*]} rm -f $policy" EXIT
  fi
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" \
    >"$scratch/apt.log" 2>&1 || { tail -n 30 "$scratch/apt.log" >&2; fail "apt-get install failed"; }
}

# ---- Python ----

# The locks name wheels of CPython 3.11, which is Debian 12's.
python_311() {
  local candidate
  for candidate in python3.11 python3 /usr/bin/python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  fail "no Python 3.11 found"
}

# What is there already stays, so that a changed pin does not take the rest from under a running build.
install_python() {
  say "Python packages into .venv"
  if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1 || ! grep -qxF "$PWD" "$venv/place" 2>/dev/null; then
    rm -rf "$venv"
    "$(python_311)" -m venv "$venv"
    echo "$PWD" >"$venv/place"  # a venv cannot be moved
  fi
  local install=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps)
  "${install[@]}" -r "$pins/requirements-build.lock"
  # A package without a wheel is built with the tools just installed, not with others fetched unpinned.
  "${install[@]}" --no-build-isolation -r "$pins/requirements.lock"
  "$venv/bin/python" -m pip check --quiet || fail "the locked Python packages do not fit together"
}

# ---- libraries ----

# Arrow and ONNX Runtime lie in their wheels; these are stable names for them.
link_wheels() {
  local site
  site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
  mkdir -p "$deps/arrow" "$deps/onnxruntime/lib"
  ln -sfn "$site/pyarrow/include" "$deps/arrow/include"
  ln -sfn "$site/pyarrow" "$deps/arrow/lib"
  ln -sfn "$site"/onnxruntime/capi/libonnxruntime.so.* "$deps/onnxruntime/lib/libonnxruntime.so"
}

# Whether the files under .deps/<folder> are there and are those of files.sha256.
holds() { (cd "$deps" && grep " $1/" "$pins/files.sha256" | sha256sum --check --status 2>/dev/null); }

install_duckdb() {
  say "DuckDB"
  mkdir -p "$deps/duckdb/include" "$deps/duckdb/lib" "$scratch/npm" "$scratch/crate/src"
  (cd "$scratch/npm" && npm pack --silent "$duckdb_npm" >/dev/null)
  tar -xzf "$scratch"/npm/*.tgz -C "$scratch/npm"
  install -m 644 "$scratch/npm/package/libduckdb.so" "$deps/duckdb/lib/"

  # A package that only names the crate, for cargo to fetch it. Nothing of it is compiled.
  cat >"$scratch/crate/Cargo.toml" <<TOML
[package]
name = "duckdb-header"
version = "0.0.0"
edition = "2021"
[dependencies]
libduckdb-sys = { version = "=$duckdb_crate", default-features = false }
TOML
  : >"$scratch/crate/src/lib.rs"
  (cd "$scratch/crate" && cargo vendor --quiet --versioned-dirs vendor >/dev/null)
  tar -xzOf "$scratch/crate/vendor/libduckdb-sys-$duckdb_crate/duckdb.tar.gz" duckdb/src/include/duckdb.h \
    >"$deps/duckdb/include/duckdb.h"
}

install_onnxruntime() {
  say "ONNX Runtime's C header"
  mkdir -p "$deps/onnxruntime/include" "$scratch/go"
  local folder
  folder=$(cd "$scratch/go" && go mod download -json "$onnxruntime_go" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
  [[ -d $folder ]] || fail "go mod download gave no folder for $onnxruntime_go"
  install -m 644 "$folder/onnxruntime_c_api.h" "$folder/onnxruntime_ep_c_api.h" "$deps/onnxruntime/include/"
}

versitygw_there() {
  [[ -x $deps/bin/versitygw && -f $deps/bin/versitygw.pin && $(<"$deps/bin/versitygw.pin") == "$versitygw" ]]
}

# A few minutes on two cores, once.
install_versitygw() {
  say "versitygw, the S3 server of the tests"
  mkdir -p "$deps/bin"
  (cd "$scratch" && GOBIN="$deps/bin" CGO_ENABLED=0 nice go install -trimpath -ldflags='-s -w' "$versitygw") \
    >"$scratch/versitygw.log" 2>&1 || { tail -n 30 "$scratch/versitygw.log" >&2; fail "go install failed"; }
  echo "$versitygw" >"$deps/bin/versitygw.pin"
}

# Whether each jar of kafka.txt is there and is the one that is meant.
kafka_there() {
  [[ -d $deps/kafka ]] && (cd "$deps/kafka" && kafka_sums | sha256sum --check --status 2>/dev/null)
}
kafka_sums() { list "$pins/kafka.txt" | sed -E 's/^([0-9a-f]+)  [^:]+:([^:]+):(.+)$/\1  \2-\3.jar/'; }

# A project that only names the jars, for Maven to fetch them. Nothing is compiled.
install_kafka() {
  say "Kafka, the broker of the tests"
  mkdir -p "$scratch/kafka"
  {
    echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
    echo '<groupId>jars</groupId><artifactId>jars</artifactId><version>0</version><packaging>pom</packaging>'
    echo '<dependencies>'
    list "$pins/kafka.txt" | sed -E 's#^[0-9a-f]+  ([^:]+):([^:]+):(.+)$#<dependency><groupId>\1</groupId><artifactId>\2</artifactId><version>\3</version><exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions></dependency>#'
    echo '</dependencies></project>'
  } >"$scratch/kafka/pom.xml"
  rm -rf "$deps/kafka"
  (cd "$scratch/kafka" && mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DoutputDirectory="$deps/kafka") >"$scratch/kafka.log" 2>&1 ||
    { tail -n 30 "$scratch/kafka.log" >&2; fail "Maven gave no Kafka"; }
  kafka_there || fail "kafka: a jar is not the one of tools/pins/kafka.txt"
}

# ---- ----

[[ $(uname -m) == x86_64 ]] || fail "the pinned libraries are for x86_64"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
wanted=$(state)
mapfile -t missing < <(missing_packages)
if ((${#missing[@]})); then
  (install_packages "${missing[@]}")  # a subshell: its trap is its own
fi
if ! downloads_there "$wanted"; then
  mkdir -p "$deps"
  rm -f "$deps/stamp"
  install_python
  link_wheels
  for part in duckdb onnxruntime; do
    holds "$part" || "install_$part"
    holds "$part" || fail "$part: a file is not the one of tools/pins/files.sha256"
  done
  versitygw_there || install_versitygw
  kafka_there || install_kafka
  echo "$wanted" >"$deps/stamp"
  say "done"
fi
