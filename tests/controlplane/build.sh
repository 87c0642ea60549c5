#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds the control plane of the tests (etcd, kube-apiserver, kube-controller-manager, kube-scheduler in one program, and
# kwok) into a folder outside the tree, once for each state of the modules here; prints that folder. A cold build takes some
# ten minutes of two cores.
# exit: 0 it is there; 77 it cannot be built on this machine, and why; 1 the build failed
set -euo pipefail
cd "$(dirname "$0")"

version=$(sed -n 's/^\tk8s.io\/kubernetes v/v/p' kubernetes/go.mod)
minor=$(cut -d. -f2 <<<"$version")
stamp=()
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
	stamp+=(-X "$package.gitVersion=$version" -X "$package.gitMajor=1" -X "$package.gitMinor=$minor")
done
stamp+=(-X k8s.io/component-base/version.gitTreeState=clean)
key=$(cat build.sh */go.mod */go.sum */*.go | sha256sum | cut -c 1-16)
folder=${OPSD_CONTROLPLANE:-${XDG_CACHE_HOME:-$HOME/.cache}/opsd-controlplane}/$version-$key

cannot() {
	echo "control plane: $1" >&2
	exit 77
}

if [ -x "$folder/controlplane" ] && [ -x "$folder/kwok" ]; then
	echo "$folder"
	exit 0
fi
command -v go >/dev/null || cannot "Go is not installed; the tests on a real control plane need it"
export CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=readonly
wanted=$(sed -n 's/^go //p' kubernetes/go.mod kwok/go.mod | sort -V | tail -n 1)
have=$(go env GOVERSION)
have=${have#go}
[ "$(printf '%s\n' "$wanted" "$have" | sort -V | head -n 1)" = "$wanted" ] ||
	cannot "Go $have is installed and $wanted is needed"

fetch() { # module, package
	local said

	said=$(cd "$1" && go list -deps -f '' "$2" 2>&1) || cannot "its modules cannot be fetched: $(tail -n 1 <<<"$said")"
}
fetch kubernetes .
fetch kwok sigs.k8s.io/kwok/cmd/kwok

echo "building the control plane $version into $folder (once; about ten minutes)" >&2
mkdir -p "$folder"
fresh=$(mktemp -d "$folder/build.XXXXXX")
trap 'rm -rf "$fresh"' EXIT
(cd kubernetes && nice go build -p 2 -trimpath -buildvcs=false -ldflags "-s -w ${stamp[*]}" -o "$fresh/controlplane" .)
(cd kwok && nice go build -p 2 -trimpath -buildvcs=false -ldflags "-s -w" -o "$fresh/kwok" sigs.k8s.io/kwok/cmd/kwok)
mv "$fresh/controlplane" "$fresh/kwok" "$folder/"
echo "$folder"
