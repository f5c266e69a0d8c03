#!/bin/sh
# EST (RFC 7030) with only curl and openssl: fetch the CA certificates, enroll, wait out deferrals, and re-enroll with
# the issued certificate for a new key.
#
#   sh enroll.sh TRUST.pem IDENTITY.pem
#   EST_BASIC=user:password sh enroll.sh TRUST.pem
#
# TRUST.pem     trust anchors for the server certificate; a sandbox writes them to trust.pem
# IDENTITY.pem  bootstrap credential: certificate, private key and chain in one file; a sandbox writes one to
#               bootstrap.pem
# EST_BASIC     user and password for HTTP Basic (RFC 7030 §3.2.3), instead of IDENTITY.pem
# EST_SUBJECT   requested Subject, such as /O=Example/CN=meter-1
# EST_SAN       requested SubjectAltName, such as DNS:meter-1.example.com
# EST_POLLS     maximum number of polls of a deferred request; default 20
#
# Output in the current folder: ca.pem; the certificates first.pem and second.pem; their keys first.key and second.key
# (mode 600); first.identity and second.identity, each with certificate, chain and key, usable as IDENTITY.pem; requests
# and responses as *.p10, *.head and *.body.
#
# Requires curl, OpenSSL 3 and GNU date (option -d).
set -eu
umask 077

url=@URL@
subject=${EST_SUBJECT:-/O=Example/CN=by hand}
san=${EST_SAN:-DNS:hand.example.com}
most_polls=${EST_POLLS:-20}
untold_wait=30 # seconds, if a deferral has no Retry-After

say() {
    printf '%s\n' "$*"
}

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

# exchange OPERATION NAME [CURL OPTION...]: send a request; store the response in NAME.head and NAME.body. Sets $status
# (000 without a response) and $trouble (curl's exit code).
# EST requires TLS 1.2 or later (RFC 8996). The server certificate must chain to TRUST.pem and match the host name.
exchange() {
    operation=$1 name=$2
    shift 2
    : > "$name.head"
    : > "$name.body"
    trouble=0
    status=$(basic_credentials | curl --silent --show-error --globoff --http1.1 --tlsv1.2 --max-time 60 \
        --cacert "$trust" --dump-header "$name.head" --output "$name.body" --write-out '%{http_code}' \
        "$@" "$url/$operation") || trouble=$?
    say "$operation $status"
}

# basic_credentials: the HTTP Basic header. It is piped to curl, because other users can read command lines.
basic_credentials() {
    if [ -n "${EST_BASIC:-}" ]; then
        printf 'Authorization: Basic %s\n' "$(printf '%s' "$EST_BASIC" | openssl base64 -A)"
    fi
}

# must_be_good: exit with the server's error text unless the last exchange returned a complete 200 response.
# RFC 7030 §4.2.3: the body of an error response is human-readable text; only the status is machine-readable.
must_be_good() {
    case $status/$trouble in
        200/0) ;;
        000/*) fail "$operation: no response from $url" ;;
        200/*) fail "$operation: incomplete response" ;;
        *) fail "$operation: the server returned $status: $(reason)" ;;
    esac
}

# reason: the start of the last response body, without control characters.
reason() {
    head -c 200 "$name.body" | tr -d '\000-\011\013-\037\177'
}

# certificates NAME: extract the certificates from NAME.body to NAME.pem.
# The body is a certs-only CMS message in base64 (RFC 7030 §4.1.3, §4.2.3). RFC 8951 §3: always base64, whatever the
# headers say, with or without line breaks. White space and (nonconforming) PEM armour are removed first.
certificates() {
    sed '/^-----/d' "$1.body" | tr -d ' \t\r\n' | openssl base64 -d -A > "$1.p7"
    openssl pkcs7 -inform DER -in "$1.p7" -print_certs > "$1.pem" ||
        fail "$operation: the body is not a certs-only message"
    grep -q 'BEGIN CERTIFICATE' "$1.pem" || fail "$operation: the message contains no certificate"
}

# request NAME: generate a key, NAME.key, and a certificate request for it, NAME.p10.
# The request is a PKCS#10 (§4.2.1), signed with the new key as proof of possession. The body is its DER in base64;
# all servers accept the 64-character lines that openssl writes.
request() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"
    openssl req -new -key "$1.key" -subj "$subject" -addext "subjectAltName=$san" -outform DER -out "$1.csr"
    openssl base64 -in "$1.csr" -out "$1.p10"
}

# certify OPERATION NAME [CURL OPTION...]: post NAME.p10 until the certificate is issued; write and verify NAME.pem.
certify() {
    polls=0
    post "$@"
    # RFC 7030 §4.2.3: 202 means that the server accepted the request but has not issued the certificate yet. The
    # client "MUST wait at least the specified 'retry-after' time before repeating the same request". The server
    # recognises the request by its key and names.
    while [ "$status" = 202 ]; do
        [ "$polls" -lt "$most_polls" ] || fail "$1: still deferred after $polls polls (limit: EST_POLLS)"
        polls=$((polls + 1))
        wait_s=$(told_wait "$2")
        say "deferred: waiting $wait_s s"
        sleep "$wait_s"
        post "$@"
    done
    must_be_good
    certificates "$2"
    verify "$2"
}

# post OPERATION NAME [CURL OPTION...]: send NAME.p10 once.
# RFC 8951 makes Content-Transfer-Encoding meaningless, but older servers require it.
post() {
    exchange "$@" --data-binary "@$2.p10" \
        --header 'Content-Type: application/pkcs10' --header 'Content-Transfer-Encoding: base64'
}

# verify NAME: NAME.pem must match NAME.key and chain to the fetched CA certificates.
verify() {
    [ "$(openssl x509 -in "$1.pem" -noout -pubkey)" = "$(openssl pkey -in "$1.key" -pubout)" ] ||
        fail "$1.pem: the certificate does not match $1.key"
    openssl verify -CAfile ca.pem "$1.pem"
}

# told_wait NAME: the wait in seconds from the Retry-After in NAME.head (RFC 9110 §10.2.3: seconds or a date).
told_wait() {
    told=$(header "$1" Retry-After)
    case $told in
        '') echo "$untold_wait" ;; # RFC 7030 §4.2.3 requires it; some servers omit it
        [A-Z]*) wait_until "$told" "$(header "$1" Date)" ;;
        *[!0-9]*) fail "Retry-After: expected seconds or a date (got $told)" ;;
        *) echo "$told" ;;
    esac
}

# wait_until DATE NOW: the seconds until DATE. NOW is the server's Date header, since its clock may differ from ours.
wait_until() {
    then_s=$(date -u -d "$1" +%s) || fail "Retry-After: expected seconds or a date (got $1)"
    now_s=$(date -u -d "${2:-now}" +%s) || fail "Date: expected a date (got $2)"
    if [ "$then_s" -gt "$now_s" ]; then echo $((then_s - now_s)); else echo 0; fi
}

# header NAME FIELD: the value of a header field in NAME.head; the last one, in case a 100 Continue came first.
header() {
    tr -d '\r' < "$1.head" | sed -n "s/^$2:[[:blank:]]*//Ip" | tail -n 1
}

# become NAME: write NAME.pem, the intermediate CA certificates and NAME.key to NAME.identity, as in IDENTITY.pem.
# A server that trusts only its root cannot verify a client that does not send the intermediates.
become() {
    {
        cat "$1.pem"
        awk '/^subject=/ {subject = substr($0, 9)} /^issuer=/ {other = substr($0, 8) != subject}
            /BEGIN CERTIFICATE/ {inside = 1} inside && other; /END CERTIFICATE/ {inside = 0}' ca.pem
        cat "$1.key"
    } > "$1.identity"
}

case $#${EST_BASIC:+ with a password} in
    2* | '1 with a password') ;;
    *)
        echo "usage: sh enroll.sh TRUST.pem IDENTITY.pem" >&2
        echo "   or: EST_BASIC=user:password sh enroll.sh TRUST.pem" >&2
        exit 2
        ;;
esac
trust=$1
shift
# From here on "$@" holds the curl options that authenticate the client.
[ $# -eq 0 ] || set -- --cert "$1"
[ -z "${EST_BASIC:-}" ] || set -- "$@" --header @-

# RFC 7030 §4.1.1 and §4.1.2: fetch the CA certificates by GET. TRUST.pem authenticates the server; without it, the
# fingerprint of the root would have to be verified out of band. Client authentication is optional here; if the server
# requires it, the request is repeated with it.
say "Fetching the CA certificates"
exchange cacerts ca
case $status/$trouble in
    400/* | 401/* | 403/* | 000/35 | 000/56) exchange cacerts ca "$@" ;; # 35 and 56: refused in TLS
esac
must_be_good
certificates ca

# RFC 7030 §4.2.1: first enrolment, authenticated with the bootstrap certificate, or with user and password.
say "Enrolling"
request first
certify simpleenroll first "$@"
become first

# RFC 7030 §4.2.2: re-enrolment. The current certificate authenticates the client in the TLS handshake; Subject and
# SubjectAltName "MUST be identical" to those in it. With a new key this is a rekey, with the same key a renewal.
say "Re-enrolling with a new key"
request second
certify simplereenroll second --cert first.identity
become second
say "Done: second.identity has the certificate, its chain and its key"
