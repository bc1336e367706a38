#!/usr/bin/env bash
# tidy.sh <build folder> <jobs> [files...]: clang-tidy over the given files, or over all that the build compiles.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=$1 jobs=$2
shift 2
files=("$@")
if ((${#files[@]} == 0)); then
  mapfile -t files < <(git ls-files -- 'src/*.cc' 'tests/*.cc' 'bench/*.cc')
fi
printf '%s\0' "${files[@]}" | xargs -0 -r -n 1 -P "$jobs" clang-tidy --quiet -p "$build"
