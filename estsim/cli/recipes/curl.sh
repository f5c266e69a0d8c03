#!/bin/sh
# EST (RFC 7030) by hand, with nothing but curl and openssl: fetch the CA certificates, enroll, wait out deferrals,
# become the certificate that was issued, and re-enroll with it for a new key.
#
#   sh enroll.sh TRUST.pem IDENTITY.pem
#   EST_BASIC=user:password sh enroll.sh TRUST.pem
#
# TRUST.pem     the CA certificates that the server is known by; a sandbox has them in its trust.pem
# IDENTITY.pem  who you are until the server's CA has given you a certificate: a bootstrap certificate, its key and its
#               chain in one file; a sandbox has one in its bootstrap.pem
# EST_BASIC     a user and a password instead, for HTTP Basic (RFC 7030 §3.2.3)
# EST_SUBJECT   the name to ask a certificate for, such as /O=Example/CN=meter-1
# EST_SAN       the SubjectAltName to ask for, such as DNS:meter-1.example.com
# EST_POLLS     how often to come again before giving up on a deferral; 20 unless told
#
# Everything is left in the current folder: ca.pem; first.pem and second.pem, the certificates; first.key and
# second.key, readable for you alone; first.identity and second.identity, each a certificate, its chain and its key,
# which do as IDENTITY.pem another time; what went over the wire as *.p10, *.head and *.body.
#
# Needs curl, OpenSSL 3 and a date that knows -d, as GNU's does.
set -eu
umask 077

url=@URL@
subject=${EST_SUBJECT:-/O=Example/CN=by hand}
san=${EST_SAN:-DNS:hand.example.com}
most_polls=${EST_POLLS:-20}
untold_wait=30 # seconds, where a deferral does not say how long

say() {
    printf '%s\n' "$*"
}

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

# exchange OPERATION NAME [CURL OPTION...]: one request and its answer, in NAME.head and NAME.body. Sets $status, which
# is 000 where none came, and $trouble, curl's own exit code.
# TLS 1.2 is the least that EST may use (RFC 8996); the server's certificate must chain to TRUST.pem and have its name.
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

# basic_credentials: the header of HTTP Basic. It goes through a pipe, as a command line is there for all to read.
basic_credentials() {
    if [ -n "${EST_BASIC:-}" ]; then
        printf 'Authorization: Basic %s\n' "$(printf '%s' "$EST_BASIC" | openssl base64 -A)"
    fi
}

# must_be_good: end here with the server's own words, unless the last exchange gave a whole answer with status 200.
# RFC 7030 §4.2.3: the body of an error is a text for people; only the status is for programs.
must_be_good() {
    case $status/$trouble in
        200/0) ;;
        000/*) fail "$operation: no answer from $url" ;;
        200/*) fail "$operation: the answer broke off" ;;
        *) fail "$operation: the server answered $status: $(reason)" ;;
    esac
}

# reason: the beginning of the last answer's body, without characters that a terminal would obey.
reason() {
    head -c 200 "$name.body" | tr -d '\000-\011\013-\037\177'
}

# certificates NAME: the certificates in NAME.body, as NAME.pem.
# The body is a certs-only CMS message in base64 (RFC 7030 §4.1.3, §4.2.3). RFC 8951 §3: it is always base64, whatever
# the headers say, in one line or in many, so white space goes first; and so does PEM armour, which does not belong.
certificates() {
    sed '/^-----/d' "$1.body" | tr -d ' \t\r\n' | openssl base64 -d -A > "$1.p7"
    openssl pkcs7 -inform DER -in "$1.p7" -print_certs > "$1.pem" ||
        fail "$operation: the body is no certs-only message"
    grep -q 'BEGIN CERTIFICATE' "$1.pem" || fail "$operation: the message holds no certificate"
}

# request NAME: a new key as NAME.key, and a request for a certificate for it as NAME.p10.
# The request is a PKCS#10 (§4.2.1), signed with the new key: the proof that it is yours. The body is its DER in base64;
# lines of 64 characters, as openssl makes them, are read by everybody.
request() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"
    openssl req -new -key "$1.key" -subj "$subject" -addext "subjectAltName=$san" -outform DER -out "$1.csr"
    openssl base64 -in "$1.csr" -out "$1.p10"
}

# certify OPERATION NAME [CURL OPTION...]: post NAME.p10 until there is a certificate; verify it, as NAME.pem.
certify() {
    polls=0
    post "$@"
    # RFC 7030 §4.2.3: with 202 the server has taken the request and has no certificate yet. The client "MUST wait at
    # least the specified 'retry-after' time before repeating the same request": the same key and names, the server
    # knows it by those.
    while [ "$status" = 202 ]; do
        [ "$polls" -lt "$most_polls" ] || fail "$1: still deferred after $polls polls (EST_POLLS says how many)"
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
# Content-Transfer-Encoding means nothing since RFC 8951, but servers older than that want it.
post() {
    exchange "$@" --data-binary "@$2.p10" \
        --header 'Content-Type: application/pkcs10' --header 'Content-Transfer-Encoding: base64'
}

# verify NAME: NAME.pem must be for our key, and chain to the CA certificates that were fetched.
verify() {
    [ "$(openssl x509 -in "$1.pem" -noout -pubkey)" = "$(openssl pkey -in "$1.key" -pubout)" ] ||
        fail "$1.pem: the certificate is for another key than $1.key"
    openssl verify -CAfile ca.pem "$1.pem"
}

# told_wait NAME: the seconds that the Retry-After in NAME.head asks to wait (RFC 9110 §10.2.3): a number, or a date.
told_wait() {
    told=$(header "$1" Retry-After)
    case $told in
        '') echo "$untold_wait" ;; # RFC 7030 §4.2.3 wants one; some servers leave it out
        [A-Z]*) wait_until "$told" "$(header "$1" Date)" ;;
        *[!0-9]*) fail "Retry-After: expected seconds or a date (got $told)" ;;
        *) echo "$told" ;;
    esac
}

# wait_until DATE NOW: the seconds from now to a date. NOW is the server's own Date: its clock may differ from ours.
wait_until() {
    then_s=$(date -u -d "$1" +%s) || fail "Retry-After: expected seconds or a date (got $1)"
    now_s=$(date -u -d "${2:-now}" +%s) || fail "Date: expected a date (got $2)"
    if [ "$then_s" -gt "$now_s" ]; then echo $((then_s - now_s)); else echo 0; fi
}

# header NAME FIELD: the value of a header field in NAME.head; the last one, where a 100 Continue came before.
header() {
    tr -d '\r' < "$1.head" | sed -n "s/^$2:[[:blank:]]*//Ip" | tail -n 1
}

# become NAME: put NAME.pem, the intermediates it may hang on, and NAME.key into one file, as IDENTITY.pem was.
# A server that trusts its root alone cannot verify a client that keeps its intermediate to itself.
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
# From here on "$@" is how curl says who we are.
[ $# -eq 0 ] || set -- --cert "$1"
[ -z "${EST_BASIC:-}" ] || set -- "$@" --header @-

# RFC 7030 §4.1.1 and §4.1.2: first of all the certificates of the CA that we want one from, by GET. TRUST.pem makes the
# connection one that can be believed; without it, somebody would have to compare the fingerprint of the root with one
# that came another way. Whoever asks need not say who it is. Some servers want to know even here: then we ask again.
say "The CA certificates"
exchange cacerts ca
case $status/$trouble in
    400/* | 401/* | 403/* | 000/35 | 000/56) exchange cacerts ca "$@" ;; # 35 and 56: refused by TLS
esac
must_be_good
certificates ca

# RFC 7030 §4.2.1: the first enrolment, authenticated by the bootstrap certificate, or by user and password.
say "A first certificate"
request first
certify simpleenroll first "$@"
become first

# RFC 7030 §4.2.2: re-enrolment. The certificate to be renewed authenticates the client, in the TLS handshake; Subject
# and SubjectAltName "MUST be identical" to its own. With a new key this is a rekey, with the old one a renewal.
say "A second certificate, for a new key"
request second
certify simplereenroll second --cert first.identity
become second
say "Done: second.identity is a certificate with its chain and key"
