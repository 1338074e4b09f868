#!/usr/bin/env bash
# Make the files of a release in a directory: both wheels with their SBOMs, the chart, install.yaml, and the checksums of all.
# Chart and install.yaml pull the images of that registry. Needs .venv (make venv-dev) and helm; publishes nothing.
# usage: scripts/release.sh VERSION REGISTRY DIRECTORY, for example scripts/release.sh 1.2.3 ghcr.io/example dist
set -euo pipefail
cd "$(dirname "$0")/.."
version=$1 registry=$2 made=$3
python=.venv/bin/python
mkdir -p "$made"
made=$(cd "$made" && pwd)
[ -z "$(ls -A "$made")" ] || { echo "$made is not empty: what is in it would be published too" >&2; exit 1; }
"$python" scripts/versions.py "$version"

# The time in the archives is that of the commit, so that the same commit gives the same files.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || date +%s)
export SOURCE_DATE_EPOCH
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir "$made" . ./client
"$python" scripts/sbom.py 'taskpost-service[service]' >"$made/taskpost-service.cdx.json"
"$python" scripts/sbom.py taskpost >"$made/taskpost.cdx.json"

chart=$(mktemp -d)
trap 'rm -rf "$chart"' EXIT
cp -R helm/. "$chart"
for images in image taskPods; do
  sed -i.bak "/^$images:/,/repository:/ s|registry: \"\"|registry: $registry|" "$chart/values.yaml"
done
rm -f "$chart/values.yaml.bak"
[ "$(grep -c "registry: $registry\$" "$chart/values.yaml")" = 2 ] || { echo 'helm/values.yaml: image.registry or taskPods.image.registry not found' >&2; exit 1; }
helm package "$chart" --destination "$made" >/dev/null

sed "s#\(^ *\(image\|value\): \)taskpost-\(api\|runner\):#\1$registry/taskpost-\3:#" manifests/install.yaml >"$made/install.yaml"
if [ "$(grep -c "$registry/taskpost-[a-z]*:$version\$" "$made/install.yaml")" != "$(grep -cE 'taskpost-(api|runner):' "$made/install.yaml")" ]; then
  echo 'manifests/install.yaml names an image of Taskpost in a way that scripts/release.sh does not know' >&2
  exit 1
fi
cd "$made"
if command -v sha256sum >/dev/null; then sha256sum -- *; else shasum -a 256 -- *; fi >"$chart/SHA256SUMS"
mv "$chart/SHA256SUMS" .
