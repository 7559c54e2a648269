#!/usr/bin/env bash
# Resolves the locks anew: for every supported Python and platform, with hashes, without the address of any index.
# Pins stay as they are unless an input asks for more; `UPGRADE=--upgrade` moves everything to the newest.
# The product is resolved first and binds the tests, so that a test tool never holds a product package back.
set -euo pipefail
cd "$(dirname "$0")/.."

lock() {
    local output="requirements/$1.txt"
    shift
    "${UV:-uv}" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras \
        --custom-compile-command "make lock" ${UPGRADE:-} "$@" --output-file "$output"
    echo "$output: $(grep -c '==' "$output") packages"
}

project=(pyproject.toml requirements/build.in)
lock core "${project[@]}"
lock product --extra local --constraint requirements/core.txt "${project[@]}"
lock test --extra local --extra redis --extra postgres --extra otel --constraint requirements/product.txt requirements/test.in "${project[@]}"
# Tools that know the product from outside only.
lock docs requirements/docs.in
lock schemathesis requirements/schemathesis.in
