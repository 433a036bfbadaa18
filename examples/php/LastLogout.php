<?php

declare(strict_types=1);

/** Checks verified Auth0 access tokens by POST /v1/check of last-logout. It needs the extension curl. */
final class LastLogout
{
    private const MAX_BODY_BYTES = 65_536;
    private const MAX_MESSAGE_BYTES = 200;
    private const MAX_AGE_SECONDS = 300;
    /** How far the clock of the service may be ahead of the clock of this host. */
    private const MAX_AHEAD_SECONDS = 60;

    /**
     * @param string $apiKey A key with the role check.
     * @param string|null $namespace The namespace of the login Action's claims, if not the default.
     */
    public function __construct(
        private string $url,
        #[SensitiveParameter] private string $apiKey,
        private int $timeoutMs = 1_000,
        private ?string $namespace = null,
    ) {
        if (!preg_match('#^https?://#i', $url)) {
            throw new InvalidArgumentException('the URL must begin with http:// or https://');
        }
    }

    /** Returns 'accepted', 'revoked' or 'unknown' for verified claims: respond with 200, 401 or 503. */
    public function check(array $claims): string
    {
        try {
            $body = ['claims' => $claims] + ($this->namespace === null ? [] : ['namespace' => $this->namespace]);
            return self::judge($this->post(json_encode($body, JSON_THROW_ON_ERROR)), microtime(true));
        } catch (Throwable $error) {
            error_log('last-logout check failed: ' . $error->getMessage());
            return 'unknown';
        }
    }

    private function post(string $body): string
    {
        $received = '';
        $curl = curl_init(rtrim($this->url, '/') . '/v1/check');
        curl_setopt_array($curl, [
            CURLOPT_POSTFIELDS => $body,
            CURLOPT_HTTPHEADER => ["Authorization: Bearer {$this->apiKey}", 'Content-Type: application/json'],
            // A redirect would carry the key to another server.
            CURLOPT_FOLLOWLOCATION => false,
            // It limits the whole request, including the body of the response, but not the look-up of the name.
            // `options timeout:1 attempts:1` in /etc/resolv.conf limits that to a second for each name server.
            CURLOPT_TIMEOUT_MS => $this->timeoutMs,
            // Any other number than the length of the chunk ends the exchange.
            CURLOPT_WRITEFUNCTION => function ($curl, string $chunk) use (&$received): int {
                $received .= $chunk;
                return strlen($received) <= self::MAX_BODY_BYTES ? strlen($chunk) : -1;
            },
        ]);
        if (curl_exec($curl) === false) {
            throw new RuntimeException(curl_error($curl));
        }
        $status = curl_getinfo($curl, CURLINFO_RESPONSE_CODE);
        if ($status !== 200) {
            throw new RuntimeException("status {$status}: {$this->messageOf($received)}");
        }
        return $received;
    }

    /** Returns the message of an error response for the log, without the key. */
    private function messageOf(string $body): string
    {
        $message = json_decode($body, true)['message'] ?? null;
        if (!is_string($message)) {
            return 'no message';
        }
        $message = substr(str_replace($this->apiKey, '<key>', $message), 0, self::MAX_MESSAGE_BYTES);
        return json_encode($message, JSON_INVALID_UTF8_SUBSTITUTE | JSON_UNESCAPED_SLASHES);
    }

    private static function judge(string $body, float $now): string
    {
        $verdict = json_decode($body, true, flags: JSON_THROW_ON_ERROR);
        $revoked = $verdict['revoked'] ?? null;
        if (!is_bool($revoked)) {
            throw new UnexpectedValueException('revoked is not a boolean');
        }
        if ($revoked) {
            return 'revoked';
        }
        if (($verdict['reason'] ?? null) === 'machine_token') {
            return 'accepted';
        }
        if (!isset($verdict['as_of'])) {
            throw new UnexpectedValueException('the service has not read the log yet');
        }
        $asOf = DateTimeImmutable::createFromFormat(DATE_RFC3339_EXTENDED, $verdict['as_of'])
            ?: throw new UnexpectedValueException('as_of is not an instant');
        $age = $now - (float) $asOf->format('U.v');
        if ($age > self::MAX_AGE_SECONDS || $age < -self::MAX_AHEAD_SECONDS) {
            throw new UnexpectedValueException(sprintf('the data is %d s old', $age));
        }
        return 'accepted';
    }
}
