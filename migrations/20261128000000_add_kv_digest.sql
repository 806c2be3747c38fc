-- What proves a value in the shared cache: the SHA-256 of the value that the holder of the claim writes.

alter table chatchonk.kv_keys add column digest bytea
    constraint kv_keys_digest_length check (length(digest) = 32);

-- A digest belongs to one claim. A claim sets the version, also to the same one, and that clears the digest;
-- the claimant stores its own afterwards. The release before this one stores none: its values prove nothing.
create function chatchonk.clear_kv_digest() returns trigger
language plpgsql set search_path = '' as $$
begin
    new.digest := null;
    return new;
end
$$;

create trigger clear_kv_digest before update of version on chatchonk.kv_keys
    for each row execute function chatchonk.clear_kv_digest();
