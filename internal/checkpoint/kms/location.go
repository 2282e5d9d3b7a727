package kms

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// The schemes of URLs: gocloud's, so that who knows those is at home.
const (
	schemeAWS    = "awskms"
	schemeGoogle = "gcpkms"
	schemeAzure  = "azurekeyvault"
)

// params are what the URLs of each scheme may have after the question mark.
var params = map[string][]string{
	schemeAWS:    {"region", "endpoint"},
	schemeGoogle: {"endpoint"},
	schemeAzure:  nil,
}

// What names may be made of. They become parts of addresses, so nothing else may be in them.
var (
	awsKey    = regexp.MustCompile(`^[A-Za-z0-9:/_.-]{1,1000}$`)
	awsARN    = regexp.MustCompile(`^arn:[a-z-]+:kms:([a-z0-9-]+):[0-9]{12}:(?:key|alias)/.`)
	awsRegion = regexp.MustCompile(`^[a-z0-9]+(?:-[a-z0-9]+)+$`)
	googleKey = regexp.MustCompile(`^projects/[A-Za-z0-9.:_-]+/locations/[a-z0-9-]+/keyRings/[A-Za-z0-9_-]+/cryptoKeys/[A-Za-z0-9_-]+$`)
	azureKey  = regexp.MustCompile(`^/keys/([A-Za-z0-9-]{1,127})(?:/([0-9a-f]{32}))?$`)
	azureHost = regexp.MustCompile(`^[A-Za-z0-9-]+\.(?:vault|managedhsm)\.(?:azure\.net|azure\.cn|usgovcloudapi\.net)$`)
)

// A location is a URL that was checked.
type location struct {
	scheme string
	// key is its name, as the service wants it.
	key string
	// region is for AWS only, vault and version for Azure only. A version may be left out.
	region, vault, version string
	// endpoint is where the service is if not where its provider has it.
	endpoint string
}

// CheckURL says whether Open takes a URL, without opening anything:
//
//	awskms:///arn:aws:kms:REGION:ACCOUNT:key/ID
//	awskms:///alias/NAME?region=REGION
//	gcpkms://projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY
//	azurekeyvault://NAME.vault.azure.net/keys/KEY
//
// The first two kinds take an endpoint, for a private one. An error never repeats what may be a secret.
func CheckURL(raw string) error {
	_, err := parse(raw)
	return err
}

func parse(raw string) (location, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return location{}, errors.New("the KMS key's URL is none") // What url.Parse says repeats it.
	}
	known, ok := params[u.Scheme]
	switch {
	case !ok:
		return location{}, errors.New("the KMS key's URL must begin with awskms://, gcpkms:// or azurekeyvault://")
	case u.User != nil:
		return location{}, errors.New("the KMS key's URL must not have credentials: they go into a Secret of their own")
	case u.Fragment != "" || u.Opaque != "" || u.RawPath != "":
		return location{}, errors.New("the KMS key's URL has parts that no key's has")
	}
	q, err := query(u.RawQuery, known)
	if err != nil {
		return location{}, err
	}
	l := location{scheme: u.Scheme, region: q.Get("region"), endpoint: strings.TrimSuffix(q.Get("endpoint"), "/")}
	switch u.Scheme {
	case schemeAWS:
		err = l.aws(u)
	case schemeGoogle:
		if l.key = u.Host + u.Path; !googleKey.MatchString(l.key) {
			err = errors.New("the KMS key's URL must be gcpkms://projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY")
		}
	default:
		err = l.azure(u)
	}
	return l, err
}

func (l *location) aws(u *url.URL) error {
	l.key = strings.TrimPrefix(u.Host+u.Path, "/")
	if !awsKey.MatchString(l.key) {
		return errors.New("the KMS key's URL must be awskms:/// and the ARN, the id or the alias of a key")
	}
	if strings.HasPrefix(l.key, "arn:") {
		m := awsARN.FindStringSubmatch(l.key)
		if m == nil {
			return errors.New("the KMS key's URL has an ARN that is not one of a key or an alias")
		}
		if l.region != "" && l.region != m[1] {
			return fmt.Errorf("the KMS key's URL says region %s, and its ARN %s", l.region, m[1])
		}
		l.region = m[1]
	}
	if !awsRegion.MatchString(l.region) {
		return errors.New("the KMS key's URL must have the key's region: awskms:///alias/NAME?region=REGION")
	}
	return nil
}

func (l *location) azure(u *url.URL) error {
	m := azureKey.FindStringSubmatch(u.Path)
	// Only Azure's own: a vault is sent a token, and says from whom the token is to come.
	if m == nil || !azureHost.MatchString(u.Host) {
		return errors.New("the KMS key's URL must be azurekeyvault://NAME.vault.azure.net/keys/KEY, with a version or without")
	}
	l.vault, l.key, l.version = u.Host, m[1], m[2]
	return nil
}

func query(raw string, known []string) (url.Values, error) {
	q, err := url.ParseQuery(raw)
	if err != nil {
		return nil, errors.New("the KMS key's URL has parameters that cannot be read")
	}
	for name, values := range q {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("the KMS key's URL has a parameter that it must not have; it may have: %q (credentials go into a Secret of their own)", known)
		}
		if len(values) != 1 || values[0] == "" {
			return nil, fmt.Errorf("the KMS key's URL must give %s one value", name)
		}
	}
	endpoint := q.Get("endpoint")
	if endpoint == "" {
		return q, nil
	}
	e, err := url.Parse(endpoint)
	if err != nil || e.Host == "" || e.User != nil || e.RawQuery != "" || e.Fragment != "" {
		return nil, errors.New("the KMS key's endpoint must be https:// and a host, perhaps with a port and a path, and nothing else")
	}
	if e.Scheme != "https" && (e.Scheme != "http" || !loopback(e.Hostname())) {
		return nil, errors.New("the KMS must be spoken to by https: the data key is sent to it")
	}
	return q, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
