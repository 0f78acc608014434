<?php
/**
 * WordPress's object cache in Redis, which sites share: each logs in as itself and may touch only keys that begin with
 * its name (HOMEPORT_REDIS, from the site's private/).
 *
 * A key is SITE:GENERATION:GROUP:KEY. A flush draws another generation, so nothing has to be searched for; Redis throws
 * out what is not asked for any more. It may throw out the generation's own key too: drawn and not counted, no former
 * one comes back by that, with what was true before a flush. When Redis does not answer, the cache lasts for one request, as without it: no
 * page fails for want of a cache.
 */

defined('ABSPATH') || exit;

final class WP_Object_Cache
{
    private const LIFETIME_S = 7 * 86400; // of entries that have none
    private const PATIENCE_S = 1.0;

    public int $cache_hits = 0;
    public int $cache_misses = 0;

    private ?Redis $redis = null;
    private string $generation = '';
    private string $site;
    private string $blog = '';
    /** @var array<string, mixed> */
    private array $known = [];
    /** @var array<string, true> groups that are not kept after the request */
    private array $passing = [];
    /** @var array<string, true> groups that all blogs of a network share */
    private array $shared = [];

    public function __construct()
    {
        $this->site = HOMEPORT_REDIS['user'];
        $this->blog = is_multisite() ? get_current_blog_id() . ':' : '';
        try {
            $redis = new Redis();
            $redis->connect(HOMEPORT_REDIS['host'], HOMEPORT_REDIS['port'], self::PATIENCE_S, null, 0, self::PATIENCE_S);
            $redis->auth([HOMEPORT_REDIS['user'], HOMEPORT_REDIS['password']]);
            $redis->setOption(Redis::OPT_SERIALIZER, Redis::SERIALIZER_PHP);
            $this->redis = $redis;
            $this->generation = $this->present_generation($redis);
        } catch (RedisException $error) {
            $this->lost($error);
        }
    }

    public function get(int|string $key, string $group, bool $force, ?bool &$found): mixed
    {
        $name = $this->name($key, $group);
        if (!$force && array_key_exists($name, $this->known)) {
            return $this->hit($name, $found);
        }
        if ($this->is_kept($group)) {
            $value = $this->ask(fn (Redis $redis) => $redis->get($name));
            if (is_array($value) && array_key_exists('v', $value)) {
                $this->known[$name] = $value['v'];
                return $this->hit($name, $found);
            }
        }
        $found = false;
        ++$this->cache_misses;
        return false;
    }

    /** @param list<int|string> $keys */
    public function get_multiple(array $keys, string $group, bool $force): array
    {
        $names = array_map(fn ($key) => $this->name($key, $group), $keys);
        $wanted = array_values(array_unique(array_filter($names, fn ($name) => $force || !array_key_exists($name, $this->known))));
        if ($wanted !== [] && $this->is_kept($group)) {
            $values = $this->ask(fn (Redis $redis) => $redis->mGet($wanted)) ?: [];
            foreach ($values as $at => $value) {
                if (is_array($value) && array_key_exists('v', $value)) {
                    $this->known[$wanted[$at]] = $value['v'];
                }
            }
        }
        $results = [];
        foreach ($keys as $at => $key) {
            $name = $names[$at];
            $found = null;
            if (array_key_exists($name, $this->known)) {
                $results[$key] = $this->hit($name, $found);
            } else {
                ++$this->cache_misses;
                $results[$key] = false;
            }
        }
        return $results;
    }

    public function set(int|string $key, mixed $value, string $group, int $expire): bool
    {
        $name = $this->name($key, $group);
        $this->known[$name] = is_object($value) ? clone $value : $value;
        if ($this->is_kept($group)) {
            $this->ask(fn (Redis $redis) => $redis->set($name, ['v' => $value], ['ex' => $this->lifetime($expire)]));
        }
        return true;
    }

    /** Only where there is none: by Redis itself, as two requests may try at once. */
    public function add(int|string $key, mixed $value, string $group, int $expire): bool
    {
        if (wp_suspend_cache_addition()) {
            return false;
        }
        $name = $this->name($key, $group);
        if (array_key_exists($name, $this->known)) {
            return false;
        }
        if ($this->is_kept($group) && $this->redis !== null) {
            $options = ['nx', 'ex' => $this->lifetime($expire)];
            if ($this->ask(fn (Redis $redis) => $redis->set($name, ['v' => $value], $options)) === false && $this->redis !== null) {
                return false;
            }
        }
        $this->known[$name] = is_object($value) ? clone $value : $value;
        return true;
    }

    public function replace(int|string $key, mixed $value, string $group, int $expire): bool
    {
        $found = null;
        $this->get($key, $group, false, $found);
        return $found ? $this->set($key, $value, $group, $expire) : false;
    }

    public function delete(int|string $key, string $group): bool
    {
        $name = $this->name($key, $group);
        $was_known = array_key_exists($name, $this->known);
        unset($this->known[$name]);
        $removed = $this->is_kept($group) ? $this->ask(fn (Redis $redis) => $redis->del($name)) : 0;
        return $was_known || (bool) $removed;
    }

    public function increase(int|string $key, int $by, string $group): int|false
    {
        $found = null;
        $value = $this->get($key, $group, true, $found);
        if (!$found) {
            return false;
        }
        $value = max(0, (is_numeric($value) ? (int) $value : 0) + $by);
        $this->set($key, $value, $group, 0);
        return $value;
    }

    public function flush(): bool
    {
        $this->known = [];
        $this->generation = bin2hex(random_bytes(6));
        $this->ask(fn (Redis $redis) => $redis->rawCommand('SET', "$this->site:generation", $this->generation));
        return true;
    }

    public function flush_known(): bool
    {
        $this->known = [];
        return true;
    }

    public function share(array $groups): void
    {
        $this->shared += array_fill_keys($groups, true);
    }

    public function pass(array $groups): void
    {
        $this->passing += array_fill_keys($groups, true);
    }

    public function switch_to_blog(int $blog): void
    {
        $this->blog = is_multisite() ? "$blog:" : '';
    }

    /** The one that is in use, or the first; of two requests that begin at once both take the same. */
    private function present_generation(Redis $redis): string
    {
        $key = "$this->site:generation";
        $redis->rawCommand('SET', $key, bin2hex(random_bytes(6)), 'NX');
        return (string) $redis->rawCommand('GET', $key);
    }

    private function hit(string $name, ?bool &$found): mixed
    {
        $found = true;
        ++$this->cache_hits;
        $value = $this->known[$name];
        return is_object($value) ? clone $value : $value;
    }

    private function name(int|string $key, string $group): string
    {
        $blog = isset($this->shared[$group]) ? '' : $this->blog;
        return "$this->site:$this->generation:$blog$group:$key";
    }

    private function is_kept(string $group): bool
    {
        return $this->redis !== null && !isset($this->passing[$group]);
    }

    private function lifetime(int $expire): int
    {
        return $expire > 0 ? $expire : self::LIFETIME_S;
    }

    /** Ask Redis; null when it does not answer, and from then on it is not asked again in this request. */
    private function ask(callable $question): mixed
    {
        if ($this->redis === null) {
            return null;
        }
        try {
            return $question($this->redis);
        } catch (RedisException $error) {
            $this->lost($error);
            return null;
        }
    }

    private function lost(RedisException $error): void
    {
        $this->redis = null;
        error_log('homeport: the object cache does not answer: ' . $error->getMessage());
    }
}

function wp_cache_init()
{
    $GLOBALS['wp_object_cache'] = new WP_Object_Cache();
}

function wp_cache_get($key, $group = '', $force = false, &$found = null)
{
    return $GLOBALS['wp_object_cache']->get($key, $group ?: 'default', (bool) $force, $found);
}

function wp_cache_get_multiple($keys, $group = '', $force = false)
{
    return $GLOBALS['wp_object_cache']->get_multiple((array) $keys, $group ?: 'default', (bool) $force);
}

function wp_cache_set($key, $data, $group = '', $expire = 0)
{
    return $GLOBALS['wp_object_cache']->set($key, $data, $group ?: 'default', (int) $expire);
}

function wp_cache_set_multiple(array $data, $group = '', $expire = 0)
{
    return array_map(fn ($key) => wp_cache_set($key, $data[$key], $group, $expire), array_combine(array_keys($data), array_keys($data)));
}

function wp_cache_add($key, $data, $group = '', $expire = 0)
{
    return $GLOBALS['wp_object_cache']->add($key, $data, $group ?: 'default', (int) $expire);
}

function wp_cache_add_multiple(array $data, $group = '', $expire = 0)
{
    return array_map(fn ($key) => wp_cache_add($key, $data[$key], $group, $expire), array_combine(array_keys($data), array_keys($data)));
}

function wp_cache_replace($key, $data, $group = '', $expire = 0)
{
    return $GLOBALS['wp_object_cache']->replace($key, $data, $group ?: 'default', (int) $expire);
}

function wp_cache_delete($key, $group = '')
{
    return $GLOBALS['wp_object_cache']->delete($key, $group ?: 'default');
}

function wp_cache_delete_multiple(array $keys, $group = '')
{
    return array_map(fn ($key) => wp_cache_delete($key, $group), array_combine($keys, $keys));
}

function wp_cache_incr($key, $offset = 1, $group = '')
{
    return $GLOBALS['wp_object_cache']->increase($key, (int) $offset, $group ?: 'default');
}

function wp_cache_decr($key, $offset = 1, $group = '')
{
    return $GLOBALS['wp_object_cache']->increase($key, -(int) $offset, $group ?: 'default');
}

function wp_cache_flush()
{
    return $GLOBALS['wp_object_cache']->flush();
}

function wp_cache_flush_runtime()
{
    return $GLOBALS['wp_object_cache']->flush_known();
}

function wp_cache_supports($feature)
{
    return in_array($feature, ['add_multiple', 'set_multiple', 'get_multiple', 'delete_multiple', 'flush_runtime'], true);
}

function wp_cache_add_global_groups($groups)
{
    $GLOBALS['wp_object_cache']->share((array) $groups);
}

function wp_cache_add_non_persistent_groups($groups)
{
    $GLOBALS['wp_object_cache']->pass((array) $groups);
}

function wp_cache_switch_to_blog($blog_id)
{
    $GLOBALS['wp_object_cache']->switch_to_blog((int) $blog_id);
}

function wp_cache_reset()
{
    $GLOBALS['wp_object_cache']->flush_known();
}

function wp_cache_close()
{
    return true;
}
