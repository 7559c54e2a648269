#!/usr/bin/env bash
# Prints the installed size of the core (no extras) in a fresh environment, without pip; fails at 100 MB or more.
set -euo pipefail
cd "$(dirname "$0")/.."
limit_mb=100

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv --without-pip "$folder/core"
"${PYTHON:-python3}" -m pip --python "$folder/core/bin/python" install --quiet --require-hashes --only-binary :all: --no-deps \
    --requirement requirements/core.txt
packages=$("$folder/core/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
cp -R src/inferway "$packages/"
du -sm "$packages"/* | sort -rn | head -8
size_mb=$(du -sm "$packages" | cut -f1)
echo "core install: $size_mb MB (limit $limit_mb MB)"
((size_mb < limit_mb))
