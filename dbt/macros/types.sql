{#-
The types are Fullstory's own words: str, int, real, bool, date; strs, ints, reals,
bools and dates for lists of them; and json for everything else.
-#}
{%- macro sql_type(type) -%}
    {%- set is_snowflake = target.type == 'snowflake' -%}
    {%- set names = {'str': 'varchar', 'int': 'bigint', 'real': 'double', 'bool': 'boolean', 'date': 'timestamp_ntz', 'json': 'variant'}
        if is_snowflake else
        {'str': 'text', 'int': 'bigint', 'real': 'double precision', 'bool': 'boolean', 'date': 'timestamp', 'json': 'jsonb'} -%}
    {%- if type not in names and type[:-1] not in names or type == 'jsons' -%}
        {%- do exceptions.raise_compiler_error(
            'The type `' ~ type ~ '` is unknown. Use ' ~ (names | join(', ')) ~ ', strs, ints, reals, bools or dates.'
        ) -%}
    {%- endif -%}
    {{ return(names.get(type) or ('array' if is_snowflake else names[type[:-1]] ~ '[]')) }}
{%- endmacro -%}

{#- A JSON value as a column of a type; null where the value has another type. -#}
{%- macro typed(json, type) -%}
    {%- set kind = dbt_fullstory_imports.json_kind(json) -%}
    {%- set text = dbt_fullstory_imports.json_text(json) -%}
    {%- if type == 'str' -%} {{ text }}
    {%- elif type == 'json' -%} case when {{ kind }} <> 'null' then {{ json }} end
    {%- elif type == 'bool' -%} case when {{ kind }} = 'boolean' then {{ text }} = 'true' end
    {%- elif type == 'int' -%} case when {{ kind }} = 'number' then {{ dbt_fullstory_imports.to_int(text) }} end
    {%- elif type == 'real' -%} case when {{ kind }} = 'number' then {{ dbt_fullstory_imports.to_real(text) }} end
    {%- elif type == 'date' -%} case when {{ kind }} = 'string' then {{ dbt_fullstory_imports.to_date(text) }} end
    {%- elif target.type == 'snowflake' -%} case when {{ kind }} = 'array' then cast({{ json }} as array) end
    {%- else -%}
    case when {{ kind }} = 'array' then array(
        select {{ dbt_fullstory_imports.typed('element.value', type[:-1]) }}
        from jsonb_array_elements({{ json }}) with ordinality as element (value, place)
        order by element.place
    ) end
    {%- endif -%}
{%- endmacro -%}

{#- The type of a JSON value that is no array; `null` for null. -#}
{%- macro type_of(json) -%}
    {%- set text = json_text(json) -%}
    case {{ json_kind(json) }}
        when 'string' then case when {{ to_date(text) }} is null then 'str' else 'date' end
        when 'number' then case when {{ to_int(text) }} is null then 'real' else 'int' end
        when 'boolean' then 'bool'
        when 'array' then 'json'
        when 'object' then 'json'
        else 'null'
    end
{%- endmacro -%}

{#- The next three give null where the text is something else. PostgreSQL has no `try_cast`. -#}
{%- macro to_int(text) -%}
    {%- if target.type == 'snowflake' -%}
    case when regexp_like({{ text }}, '-?[0-9]{1,19}') then try_cast({{ text }} as bigint) end
    {%- else -%}
    case when {{ text }} ~ '^-?[0-9]{1,19}$' then
        case when cast({{ text }} as numeric) between -9223372036854775808 and 9223372036854775807
            then cast({{ text }} as bigint)
        end
    end
    {%- endif -%}
{%- endmacro -%}

{%- macro to_real(text) -%}
    {%- if target.type == 'snowflake' -%} try_cast({{ text }} as double)
    {%- else -%}
    case
        when cast({{ text }} as numeric) = 0
            or abs(cast({{ text }} as numeric)) between 4.9406564584124655e-324 and 1.7976931348623157e308
            then cast({{ text }} as double precision)
    end
    {%- endif -%}
{%- endmacro -%}

{#-
ISO 8601 in UTC; a time without an offset is in UTC already. In PostgreSQL the pattern
knows the calendar, because a cast of 30 February would fail.
-#}
{%- macro to_date(text) -%}
    {%- set time = '[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,40})?' -%}
    {%- set zone = '(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])' -%}
    {%- if target.type == 'snowflake' -%}
    {%- set day = '[0-9]{4}-[0-9]{2}-[0-9]{2}' -%}
    case
        when regexp_like({{ text }}, '{{ day }}{{ time }}{{ zone }}')
            then cast(convert_timezone('UTC', try_cast({{ text }} as timestamp_tz)) as timestamp_ntz)
        when regexp_like({{ text }}, '{{ day }}({{ time }})?')
            then try_cast({{ text }} as timestamp_ntz)
    end
    {%- else -%}
    {%- set days = '(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31' -%}
    {%- set leap_years = '([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)' -%}
    {%- set day = '([0-9]{4}-(' ~ days ~ ')|' ~ leap_years ~ '-02-29)' -%}
    case
        when {{ text }} !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}' or {{ text }} like '0000%' then null
        when {{ text }} ~ '^{{ day }}{{ time }}{{ zone }}$' then cast({{ text }} as timestamptz) at time zone 'UTC'
        when {{ text }} ~ '^{{ day }}({{ time }})?$' then cast({{ text }} as timestamp)
    end
    {%- endif -%}
{%- endmacro -%}
