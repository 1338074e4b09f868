#!/usr/bin/env bash
# Build the images of the project from this tree, by Docker or by buildah: localhost/taskpost-{api,runner,valkey}, and
# -template, which has the task type of docs/template, and -program, a static binary and nothing else. Or only those given: images.sh api runner
# PYTHON_IMAGE chooses their base; for buildah that is one made by debootstrap, as no registry may be in reach.
. "$(dirname "$0")/common.sh"

with_buildah() { # NAME DOCKERFILE [DIRECTORY]
  # Where the machine trusts a CA of its own, so must the build; the Dockerfiles do not know of it.
  buildah bud --isolation chroot --format docker --layers --quiet --volume /etc/ssl/certs:/etc/ssl/certs:ro \
    --build-arg "PYTHON_IMAGE=$PYTHON_IMAGE" --build-arg RUNNER_IMAGE=localhost/taskpost-runner \
    -t "localhost/taskpost-$1:latest" -f "$2" "${3:-$root}" >/dev/null
}

with_docker() {
  docker build --quiet ${PYTHON_IMAGE:+--build-arg "PYTHON_IMAGE=$PYTHON_IMAGE"} --build-arg RUNNER_IMAGE=localhost/taskpost-runner \
    -t "localhost/taskpost-$1:latest" -f "$2" "${3:-$root}" >/dev/null
}

static_binary() { # DIRECTORY
  cp "$root/tests/e2e/program/Dockerfile" "$1"
  if command -v go >/dev/null; then
    (cd "$root/tests/e2e/program" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w" -o "$1/program" .)
  else
    docker run --rm --volume "$root/tests/e2e/program:/source:ro" --volume "$1:/made" --workdir /source --env CGO_ENABLED=0 \
      golang:1 go build -buildvcs=false -o /made/program .
  fi
}

base_image() {
  buildah inspect --type image "$PYTHON_IMAGE" >/dev/null 2>&1 && return
  say "making $PYTHON_IMAGE"
  local files container
  files=$(mktemp -d)
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$files" >/dev/null
  container=$(buildah from scratch)
  buildah add -q "$container" "$files" / >/dev/null
  buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
  buildah commit -q "$container" "$PYTHON_IMAGE" >/dev/null
  buildah rm "$container" >/dev/null
  rm -rf "$files"
}

if [ "$(cluster_kind)" = kind ]; then
  build=with_docker
else
  build=with_buildah
  if [ -z "${PYTHON_IMAGE:-}" ]; then
    PYTHON_IMAGE=localhost/python:3
    base_image
  fi
fi
for name in "${@:-${images[@]}}"; do
  say "building localhost/taskpost-$name"
  case $name in
    valkey) "$build" "$name" "$here/Dockerfile.valkey" ;;
    template) "$build" "$name" "$root/docs/template/Dockerfile" "$root/docs/template" ;;
    program)
      made=$(mktemp -d)
      static_binary "$made"
      "$build" "$name" "$made/Dockerfile" "$made"
      rm -rf "$made"
      ;;
    *) "$build" "$name" "$root/Dockerfile.$name" ;;
  esac
done
