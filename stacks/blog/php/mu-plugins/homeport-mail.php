<?php
/**
 * Every mail of the site goes through our own submission server, as its own account and with its own sender.
 *
 * private/mail.json has host, port, user, password, sender, sender_name; the portal writes it, the site reads it. Without
 * it nothing is done here, and PHP's own mail is a program that fails: a site that nobody has configured sends nothing.
 *
 * The submission server takes only the account's own sender. Who a form wants to be the sender is who is answered: it
 * becomes Reply-To, unless the mail has one. Certificates are not verified: the server is in a network of its own with
 * the sites, under a name that its certificate, made for the outside, does not have.
 */

final class Homeport_Mail
{
    private const TIMEOUT_S = 30;
    private ?string $asked = null;

    /** @param array<string, mixed> $login */
    public function __construct(private array $login)
    {
        add_filter('wp_mail_from', $this->from(...), PHP_INT_MAX);
        add_filter('wp_mail_from_name', $this->name(...), PHP_INT_MAX);
        add_action('phpmailer_init', $this->lead(...), PHP_INT_MAX);
    }

    public static function begin(): void
    {
        $path = dirname(ABSPATH) . '/private/mail.json';
        $text = is_readable($path) ? file_get_contents($path) : false;
        $login = $text === false ? null : json_decode($text, true);
        $needed = ['host', 'port', 'user', 'password', 'sender'];
        if (is_array($login) && !array_diff($needed, array_keys($login))) {
            new self($login);
        }
    }

    public function from(mixed $asked): string
    {
        $is_default = is_string($asked) && str_starts_with($asked, 'wordpress@');
        $this->asked = is_string($asked) && is_email($asked) && !$is_default ? $asked : null;
        return (string) $this->login['sender'];
    }

    public function name(mixed $asked): string
    {
        $own = (string) ($this->login['sender_name'] ?? '');
        return $own !== '' && ($asked === 'WordPress' || !is_string($asked)) ? $own : (string) $asked;
    }

    public function lead(object $mailer): void
    {
        $mailer->isSMTP();
        $mailer->Host = (string) $this->login['host'];
        $mailer->Port = (int) $this->login['port'];
        $mailer->SMTPAuth = true;
        $mailer->Username = (string) $this->login['user'];
        $mailer->Password = (string) $this->login['password'];
        $mailer->SMTPSecure = 'tls'; // STARTTLS, or no mail: a password never goes in the clear
        $mailer->SMTPOptions = ['ssl' => ['verify_peer' => false, 'verify_peer_name' => false]];
        $mailer->SMTPDebug = 0;
        $mailer->Timeout = self::TIMEOUT_S;
        $mailer->setFrom((string) $this->login['sender'], $mailer->FromName, false);
        $mailer->Sender = (string) $this->login['sender'];
        if ($this->asked !== null && $this->asked !== $this->login['sender'] && !$mailer->getReplyToAddresses()) {
            $mailer->addReplyTo($this->asked);
        }
    }
}

Homeport_Mail::begin();
