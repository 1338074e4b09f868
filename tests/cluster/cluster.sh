#!/usr/bin/env bash
# A Kubernetes for tests: kind where Docker answers and kind is there, else a node of our own (see README.md).
# TASKPOST_CLUSTER=kind or =node chooses.
#
#   cluster.sh up                  build what is missing, start it, give it the images, print its KUBECONFIG
#   cluster.sh down                end it
#   cluster.sh load                build the images anew, and give them to it
#   cluster.sh kueue               install Kueue on it, if it is not there
#   cluster.sh kueue-down          uninstall it
#   cluster.sh exec CMD...         run a command where the cluster can be reached and reaches us, KUBECONFIG and PATH set
#   cluster.sh stop | start apiserver
#   cluster.sh volumes             make released volumes free again
#   cluster.sh audit               the audit log of the API server, a JSON object a line
#   cluster.sh address             the address at which pods reach what runs under `exec`
. "$(dirname "$0")/common.sh"

kind=$(cluster_kind)
case ${1:-} in
  up)
    [ "$kind" = kind ] || "$here/build.sh"
    "$here/$kind.sh" up
    "$here/images.sh"
    "$here/$kind.sh" load
    "$here/$kind.sh" volumes
    echo "KUBECONFIG=$kubeconfig"
    ;;
  kueue | kueue-down) exec "$here/kueue.sh" "${1#kueue}" ;;
  load)
    "$here/images.sh"
    "$here/$kind.sh" load
    ;;
  down | exec | stop | start | volumes | audit | address) exec "$here/$kind.sh" "$@" ;;
  *) sed -n '2,16s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac
