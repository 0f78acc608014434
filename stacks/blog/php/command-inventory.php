<?php
/**
 * `wp homeport inventory`: what a site is made of, as one JSON document, in one load of WordPress.
 *
 * A part that cannot be read is null, and `errors` says why. No secret, no address of anybody: passwords, keys and
 * e-mail addresses are not asked for. With --skip-plugins --skip-themes the states are still those in the database.
 * Times are ISO 8601 in UTC, sizes bytes.
 */

final class Homeport_Inventory
{
    private const FRESH_S = 3600; // older news of updates is asked for again
    private const MAX_USERS = 500;
    private const MAX_FILES = 400_000;
    private const MAX_WALK_S = 10.0;
    private const MAX_ERROR_CHARACTERS = 200;
    private const MAINTENANCE_S = 600; // for so long WordPress believes its file

    /** @var list<string> */
    private array $errors = [];

    public function __invoke(): void
    {
        foreach (['plugin', 'theme', 'update'] as $part) {
            require_once ABSPATH . "wp-admin/includes/$part.php";
        }
        $this->part('updates', fn () => $this->look_for_updates());
        $parts = [
            'title' => fn () => wp_specialchars_decode((string) get_option('blogname'), ENT_QUOTES),
            'url' => fn () => (string) get_option('home'),
            'locale' => fn () => get_locale(),
            'core' => fn () => $this->core(),
            'php' => fn () => ['version' => PHP_VERSION, 'memory_limit' => WP_MEMORY_LIMIT],
            'database' => fn () => $this->database(),
            'plugins' => fn () => $this->plugins(),
            'themes' => fn () => $this->themes(),
            'users' => fn () => $this->users(),
            'users_total' => fn () => (int) $this->value('SELECT COUNT(*) FROM %i', $GLOBALS['wpdb']->users),
            'cron' => fn () => $this->cron(),
            'debug' => fn () => $this->debug(),
            'object_cache' => fn () => (bool) wp_using_ext_object_cache(),
            'database_bytes' => fn () => $this->database_bytes(),
            'autoload_bytes' => fn () => $this->autoload()['bytes'],
            'autoload_options' => fn () => $this->autoload()['options'],
            'site_bytes' => fn () => $this->site_bytes(),
            'maintenance' => fn () => $this->is_maintained(),
            'is_multisite' => fn () => is_multisite(),
            'is_public' => fn () => (bool) get_option('blog_public'),
            'updates_checked_at' => fn () => $this->updates_checked_at(),
        ];
        $document = [];
        foreach ($parts as $name => $read) {
            $document[$name] = $this->part($name, $read);
        }
        $document['errors'] = $this->errors;
        WP_CLI::line((string) json_encode($document, JSON_INVALID_UTF8_SUBSTITUTE | JSON_PARTIAL_OUTPUT_ON_ERROR));
    }

    private function part(string $name, callable $read): mixed
    {
        try {
            return $read();
        } catch (Throwable $error) { // plugins' code runs in most of these
            $text = (string) preg_replace('/\s+/', ' ', $error->getMessage());
            $this->errors[] = "$name: " . mb_substr($text, 0, self::MAX_ERROR_CHARACTERS);
            return null;
        }
    }

    private function look_for_updates(): void
    {
        $looks = ['update_core' => 'wp_version_check', 'update_plugins' => 'wp_update_plugins', 'update_themes' => 'wp_update_themes'];
        foreach ($looks as $name => $look) {
            $known = get_site_transient($name);
            $checked_at = is_object($known) ? (int) ($known->last_checked ?? 0) : 0;
            if ($checked_at < time() - self::FRESH_S) {
                delete_site_transient($name); // or WordPress would not ask for another half a day
                $look();
            }
        }
    }

    /** @return array<string, mixed> */
    private function core(): array
    {
        $version = $this->version_on_disk();
        $newest = null;
        foreach ((array) (get_site_transient('update_core')->updates ?? []) as $offer) {
            $offered = (string) ($offer->current ?? '');
            if (version_compare($offered, $version['wp_version'], '>') && version_compare($offered, $newest ?? '0', '>')) {
                $newest = $offered;
            }
        }
        return [
            'version' => $version['wp_version'],
            'db_version' => (int) get_option('db_version'),
            'needs_db_update' => (int) get_option('db_version') !== (int) $version['wp_db_version'],
            'update_version' => $newest,
        ];
    }

    /** What the files say: plugins can write into the global variables. */
    private function version_on_disk(): array
    {
        require ABSPATH . WPINC . '/version.php';
        return ['wp_version' => $wp_version, 'wp_db_version' => $wp_db_version];
    }

    /** @return array<string, mixed> */
    private function database(): array
    {
        return ['version' => (string) $this->value('SELECT VERSION()'), 'charset' => $GLOBALS['wpdb']->charset];
    }

    /** @return list<array<string, mixed>> */
    private function plugins(): array
    {
        $updates = (array) (get_site_transient('update_plugins')->response ?? []);
        $automatic = (array) get_site_option('auto_update_plugins', []);
        $active = $this->stored('active_plugins');
        $active = is_array($active) ? $active : [];
        $network = is_multisite() ? array_keys((array) get_site_option('active_sitewide_plugins', [])) : [];
        $found = [];
        foreach (get_plugins() as $file => $data) {
            $is_active = in_array($file, $active, true) || in_array($file, $network, true);
            $found[] = [
                'name' => str_contains($file, '/') ? dirname($file) : basename($file, '.php'),
                'title' => $this->text($data['Name']),
                'version' => $data['Version'],
                'state' => $is_active ? 'active' : 'inactive',
                'update_version' => isset($updates[$file]) ? ((array) $updates[$file])['new_version'] ?? null : null,
                'auto_update' => in_array($file, $automatic, true),
                'requires_php' => $data['RequiresPHP'] ?: null,
            ];
        }
        foreach (['must-use' => get_mu_plugins(), 'dropin' => get_dropins()] as $state => $files) {
            foreach ($files as $file => $data) {
                $found[] = [
                    'name' => 'dropin' === $state ? $file : basename($file, '.php'),
                    'title' => $this->text($data['Name']),
                    'version' => $data['Version'],
                    'state' => $state,
                    'update_version' => null,
                    'auto_update' => false,
                    'requires_php' => null,
                ];
            }
        }
        return $found;
    }

    /** @return list<array<string, mixed>> */
    private function themes(): array
    {
        $updates = (array) (get_site_transient('update_themes')->response ?? []);
        $automatic = (array) get_site_option('auto_update_themes', []);
        [$stylesheet, $template] = [$this->stored('stylesheet'), $this->stored('template')];
        $found = [];
        foreach (wp_get_themes(['errors' => null]) as $slug => $theme) {
            $slug = (string) $slug;
            $found[] = [
                'name' => $slug,
                'title' => $this->text((string) $theme->get('Name')),
                'version' => (string) $theme->get('Version'),
                'state' => $slug === $stylesheet ? 'active' : ($slug === $template ? 'parent' : 'inactive'),
                'update_version' => isset($updates[$slug]) ? ((array) $updates[$slug])['new_version'] ?? null : null,
                'auto_update' => in_array($slug, $automatic, true),
                'is_broken' => is_wp_error($theme->errors()),
            ];
        }
        return $found;
    }

    /** Those who can do most come first; of the others as many as there is room for. @return list<array<string, mixed>> */
    private function users(): array
    {
        $asked = ['number' => self::MAX_USERS, 'orderby' => 'ID', 'fields' => 'all'];
        $users = get_users(['role__in' => ['administrator', 'editor']] + $asked);
        $taken = array_map(fn ($user) => $user->ID, $users);
        $left = self::MAX_USERS - count($users);
        if ($left > 0) {
            $users = array_merge($users, get_users(['number' => $left, 'exclude' => $taken] + $asked));
        }
        return array_map(
            fn ($user) => [
                'id' => (int) $user->ID,
                'login' => $this->text($user->user_login),
                'name' => $this->text($user->display_name),
                'roles' => array_values($user->roles),
                'registered_at' => $this->moment(strtotime("$user->user_registered UTC")),
                'last_login_at' => $this->last_login((int) $user->ID),
            ],
            $users
        );
    }

    /** WordPress keeps when a session began for as long as the session lasts, and nothing after. */
    private function last_login(int $user): ?string
    {
        $sessions = get_user_meta($user, 'session_tokens', true);
        $logins = is_array($sessions) ? array_column($sessions, 'login') : [];
        return $logins === [] ? null : $this->moment((int) max($logins));
    }

    /** @return array<string, mixed> */
    private function cron(): array
    {
        $times = [];
        foreach ((array) _get_cron_array() as $time => $hooks) {
            $times = array_merge($times, array_fill(0, array_sum(array_map('count', array_filter((array) $hooks, 'is_array'))), (int) $time));
        }
        $overdue = array_filter($times, fn ($time) => $time <= time());
        return [
            'events' => count($times),
            'overdue' => count($overdue),
            'oldest_overdue_s' => $overdue === [] ? null : time() - min($overdue),
            'is_disabled' => defined('DISABLE_WP_CRON') && DISABLE_WP_CRON,
        ];
    }

    /** @return array<string, bool> */
    private function debug(): array
    {
        $names = ['WP_DEBUG', 'WP_DEBUG_DISPLAY', 'WP_DEBUG_LOG', 'SCRIPT_DEBUG', 'SAVEQUERIES'];
        return array_combine($names, array_map(fn ($name) => defined($name) && constant($name), $names));
    }

    private function database_bytes(): int
    {
        $like = $GLOBALS['wpdb']->esc_like($GLOBALS['wpdb']->base_prefix) . '%';
        $sum = 'SELECT SUM(data_length + index_length) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE %s';
        return (int) $this->value($sum, $like);
    }

    /** @return array{bytes: int, options: int} */
    private function autoload(): array
    {
        $wpdb = $GLOBALS['wpdb'];
        $words = function_exists('wp_autoload_values_to_autoload') ? wp_autoload_values_to_autoload() : ['yes'];
        $places = implode(', ', array_fill(0, count($words), '%s'));
        $row = $wpdb->get_row(
            $wpdb->prepare("SELECT COUNT(*) AS options, COALESCE(SUM(LENGTH(option_value)), 0) AS bytes FROM $wpdb->options WHERE autoload IN ($places)", $words)
        );
        $this->check();
        return ['bytes' => (int) $row->bytes, 'options' => (int) $row->options];
    }

    private function site_bytes(): int
    {
        $until = microtime(true) + self::MAX_WALK_S;
        [$bytes, $files] = [0, 0];
        $walk = new RecursiveIteratorIterator(
            new RecursiveDirectoryIterator(ABSPATH, FilesystemIterator::SKIP_DOTS),
            RecursiveIteratorIterator::LEAVES_ONLY,
            RecursiveIteratorIterator::CATCH_GET_CHILD // a directory that cannot be read
        );
        foreach ($walk as $file) {
            if (++$files > self::MAX_FILES || microtime(true) > $until) {
                throw new RuntimeException("more than $files files, or too slow a disk");
            }
            $bytes += $file->isLink() ? 0 : (int) @filesize($file->getPathname()); // false: gone meanwhile
        }
        return $bytes;
    }

    private function is_maintained(): bool
    {
        $file = ABSPATH . '.maintenance';
        return is_file($file) && filemtime($file) > time() - self::MAINTENANCE_S;
    }

    private function updates_checked_at(): ?string
    {
        $times = array_map(
            fn ($name) => (int) (get_site_transient($name)->last_checked ?? 0),
            ['update_core', 'update_plugins', 'update_themes']
        );
        return $this->moment(min($times));
    }

    /** An option as it is stored, past every filter. */
    private function stored(string $name): mixed
    {
        return maybe_unserialize($this->value('SELECT option_value FROM %i WHERE option_name = %s', $GLOBALS['wpdb']->options, $name));
    }

    private function value(string $query, string ...$values): mixed
    {
        $wpdb = $GLOBALS['wpdb'];
        $found = $wpdb->get_var($values === [] ? $query : $wpdb->prepare($query, $values));
        $this->check();
        return $found;
    }

    private function check(): void
    {
        if ($GLOBALS['wpdb']->last_error !== '') {
            throw new RuntimeException('the database refused a question');
        }
    }

    private function text(string $text): string
    {
        return wp_specialchars_decode(wp_strip_all_tags($text), ENT_QUOTES);
    }

    private function moment(int|false $time): ?string
    {
        return $time === false || $time <= 0 ? null : gmdate('Y-m-d\TH:i:s\Z', $time);
    }
}

WP_CLI::add_command('homeport inventory', new Homeport_Inventory());
