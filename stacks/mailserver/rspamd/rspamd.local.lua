-- Mail that a person sends must bear that person's address.
--
-- Postfix has checked that the login owns the envelope sender; here the address that the recipient sees is compared with it. A detail
-- (name+detail@) on either side is left out of the comparison. A notification of ours has an empty envelope sender; then the
-- address that was logged in with counts.

local logger = require "rspamd_logger"

local function plain(address)
  local name, domain = address:lower():match("^(.+)@([^@]+)$")
  return name and (name:match("^([^+]+)%+") or name) .. "@" .. domain
end

rspamd_config:register_symbol({
  name = "SUBMISSION_FROM_FOREIGN",
  type = "prefilter",
  priority = 10, -- before the rate is counted
  callback = function(task)
    local user = task:get_user()
    if not user then
      return
    end
    local envelope = task:get_from("smtp")
    local own = envelope and envelope[1] and envelope[1].addr or ""
    own = plain(own ~= "" and own or user)
    local shown = task:get_from("mime") or {}
    if #shown == 0 then
      task:set_pre_result("reject", "A From field is missing", "submission")
      return
    end
    for _, each in ipairs(shown) do
      if not (each.flags or {}).valid then -- two programs may read two different addresses in it
        task:set_pre_result("reject", "The From field cannot be read", "submission")
        return
      end
      if plain(each.addr or "") ~= own then
        logger.infox(task, "submission by %s refused: the From field has another address than the envelope", user)
        task:set_pre_result("reject", "The address in the From field is not the one that sends", "submission")
        return
      end
    end
  end,
})
