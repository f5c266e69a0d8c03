#!/bin/sh
# EST (RFC 7030) with nothing but curl and openssl: fetch the CA certificates, enroll, wait out a deferral, re-enroll.
#
#   est_by_hand.sh URL TRUST IDENTITY
#
# URL ends in /.well-known/est. TRUST is a PEM file of the CA certificates that the server is known by, IDENTITY one of a
# client certificate and its key. Leaves ca.pem, first.pem, second.pem and their keys in the current folder.
set -eu

url=$1 trust=$2 identity=$3

# certificates FILE: the certificates of a base64 certs-only message (RFC 5272 §4.1), as PEM.
certificates() {
    openssl base64 -d -A -in "$1" | openssl pkcs7 -inform DER -print_certs
}

# ask OPERATION IDENTITY NAME: post NAME.p10, again and again while the answer is 202, until NAME.pem is there.
ask() {
    while :; do
        status=$(curl --silent --show-error --max-time 20 --cacert "$trust" --cert "$2" \
            --header 'Content-Type: application/pkcs10' --header 'Content-Transfer-Encoding: base64' \
            --data-binary "@$3.p10" --dump-header "$3.head" --output "$3.p7" --write-out '%{http_code}' "$url/$1")
        echo "$1 $status"
        case $status in
            200) break ;;
            202) sleep "$(tr -d '\r' < "$3.head" | sed -n 's/^[Rr]etry-[Aa]fter: //p')" ;;
            *) cat "$3.p7" >&2; exit 1 ;;
        esac
    done
    certificates "$3.p7" > "$3.pem"
    openssl verify -CAfile ca.pem "$3.pem"
}

# request NAME: a new key, and a request for a certificate for it, always with the same subject.
request() {
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" \
        -subj '/O=Example/CN=by hand' -addext 'subjectAltName=DNS:hand.example.com' -outform DER 2> /dev/null |
        openssl base64 > "$1.p10"
}

curl --silent --show-error --fail --max-time 20 --cacert "$trust" --output ca.p7 "$url/cacerts"
certificates ca.p7 > ca.pem

request first
ask simpleenroll "$identity" first

request second
cat first.pem first.key > first.both
ask simplereenroll first.both second
