// Package lastlogout checks verified Auth0 access tokens by POST /v1/check of last-logout.
package lastlogout

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"time"
)

// Outcome is the result of a check.
type Outcome string

// The outcomes, each with the response to send.
const (
	Accepted Outcome = "accepted" // the resource
	Revoked  Outcome = "revoked"  // 401 with WWW-Authenticate
	Unknown  Outcome = "unknown"  // 503 with Retry-After
)

const (
	maxBodyBytes = 64 << 10
	maxAge       = 5 * time.Minute
	// maxAhead is how far the clock of the service may be ahead of the clock of this host.
	maxAhead = time.Minute
)

// Client checks tokens. Create one instance per process. It is safe for concurrent use.
type Client struct {
	// Timeout limits the whole request, including the body of the response.
	Timeout time.Duration
	// Namespace of the login Action's claims, if not the default.
	Namespace string
	url       string
	apiKey    string
	http      http.Client
}

// New returns a client with a timeout of one second. The key needs the role check.
func New(url, apiKey string) *Client {
	return &Client{
		Timeout: time.Second,
		url:     strings.TrimRight(url, "/") + "/v1/check",
		apiKey:  apiKey,
		http: http.Client{
			// A redirect would carry the key to another server.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Check returns the outcome for the verified claims of a token.
func (c *Client) Check(ctx context.Context, claims map[string]any) Outcome {
	outcome, err := c.check(ctx, claims)
	if err != nil {
		log.Printf("last-logout check failed: %v", err)
		return Unknown
	}
	return outcome
}

func (c *Client) check(ctx context.Context, claims map[string]any) (Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	fields := map[string]any{"claims": claims}
	if c.Namespace != "" {
		fields["namespace"] = c.Namespace
	}
	body, err := json.Marshal(fields)
	if err != nil {
		return Unknown, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return Unknown, err
	}
	request.Header.Set("Authorization", "Bearer "+c.apiKey)
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return Unknown, err
	}
	defer response.Body.Close()
	received, err := io.ReadAll(io.LimitReader(response.Body, maxBodyBytes))
	if err != nil {
		return Unknown, err
	}
	if response.StatusCode != http.StatusOK {
		return Unknown, fmt.Errorf("status %d: %.200q", response.StatusCode, c.messageOf(received))
	}
	return judge(received, time.Now())
}

// messageOf returns the message of an error response for the log, without the key.
func (c *Client) messageOf(body []byte) string {
	var response struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &response) != nil {
		return ""
	}
	return strings.ReplaceAll(response.Message, c.apiKey, "<key>")
}

func judge(body []byte, now time.Time) (Outcome, error) {
	var verdict struct {
		Revoked *bool      `json:"revoked"`
		Reason  string     `json:"reason"`
		AsOf    *time.Time `json:"as_of"`
	}
	if err := json.Unmarshal(body, &verdict); err != nil {
		return Unknown, err
	}
	switch {
	case verdict.Revoked == nil:
		return Unknown, errors.New("the response has no revoked")
	case *verdict.Revoked:
		return Revoked, nil
	case verdict.Reason == "machine_token":
		return Accepted, nil
	case verdict.AsOf == nil:
		return Unknown, errors.New("the service has not read the log yet")
	}
	if age := now.Sub(*verdict.AsOf); age > maxAge || age < -maxAhead {
		return Unknown, fmt.Errorf("the data is %s old", age)
	}
	return Accepted, nil
}
